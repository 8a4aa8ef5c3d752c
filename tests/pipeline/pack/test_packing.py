"""`dilo-prep pack`: files as they are or smaller, in shards; resumed, verified, read by name."""

import io
import json
import multiprocessing
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image
from support.archives import contents_of, tar_of
from support.cli import invoke
from support.photographs import photograph, photograph_folder

from dilo.pipeline.cli import main
from dilo.pipeline.errors import DiloError, ImageError, StoreError
from dilo.pipeline.images import archivebytes, archives
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.packed import PackedSource
from dilo.pipeline.images.source import open_images
from dilo.pipeline.pack import packing
from dilo.pipeline.store.plan import Plan


@pytest.fixture
def folder(tmp_path):
    return photograph_folder(tmp_path / "images", 7)


@pytest.fixture(autouse=True)
def _fresh():
    """Begin as a new process does."""
    archives._INDEXES.clear()
    archivebytes.open_handle.cache_clear()


def pack(images, out, *more, status=0):
    options = ("--workers", 1, "--backend", "threading")
    return invoke(main, "pack", "--images", images, "--out", out, *options, *more, status=status)


def files_of(images):
    return {name: images.read(name) for name in images.find()}


def test_packed_as_they_are_images_have_the_names_and_bytes_of_the_folder(folder, tmp_path):
    pack(folder, tmp_path / "packed", "--shard-size", 3)
    expected, images = FolderSource(folder), open_images(tmp_path / "packed")
    assert isinstance(images, PackedSource)
    assert images.find() == expected.find()
    assert files_of(images) == files_of(expected)
    assert [images.size(name) for name in images.find()] == [
        expected.size(name) for name in expected.find()
    ]
    below = open_images(tmp_path / "packed" / "class1")
    assert list(below.find()) == ["001.jpg", "003.jpg", "005.jpg"]
    assert below.read("003.jpg") == expected.read("class1/003.jpg")


def test_the_same_images_of_a_tar_and_of_packed_images_are_the_same_shards(folder, tmp_path):
    tar = tar_of(contents_of(folder), tmp_path / "images.tar")
    for images, out in ((folder, "a"), (tar, "b"), (tmp_path / "a", "c")):
        pack(images, tmp_path / out)
    shards = [(tmp_path / out / "shard-00000.h5").read_bytes() for out in "abc"]
    assert shards[0] == shards[1] == shards[2]


def test_larger_images_become_jpegs_of_the_shorter_side_and_others_stay(folder, tmp_path):
    Image.fromarray(photograph(0, 90, 61)).save(folder / "class0" / "large.png")
    Image.fromarray(photograph(0, 20, 30)).save(folder / "class0" / "small.png")
    pack(folder, tmp_path / "packed", "--short-side", 24)
    images = open_images(tmp_path / "packed")
    with Image.open(io.BytesIO(images.read("class0/large.png"))) as large:
        assert (large.format, large.size) == ("JPEG", (24, 35))
    assert images.read("class0/small.png") == (folder / "class0" / "small.png").read_bytes()
    difference = images.decode("class0/large.png").mean((0, 1)) - photograph(0, 90, 61).mean((0, 1))
    assert np.abs(difference).max() < 3
    plan = Plan.load(tmp_path / "packed")
    assert (plan.kind, plan.method, plan.size) == ("images", "jpegs", 24)
    assert plan.parameters == {"quality": 90, "version": 1}
    refused = pack(folder, tmp_path / "packed", "--short-side", 24, "--quality", 80, status=3)
    assert "plan.json says quality 90; asked for quality 80" in refused.stderr
    assert (
        "--quality belongs to --short-side"
        in pack(folder, tmp_path / "other", "--quality", 80, status=2).stderr
    )


def test_an_image_that_cannot_be_packed_is_a_row_with_the_reason(folder, tmp_path):
    (folder / "class0" / "torn.jpg").write_bytes(b"no image")
    result = pack(folder, tmp_path / "packed", "--short-side", 24, "--strict", status=1)
    assert "failed: class0/torn.jpg: not an image" in result.stdout
    images = open_images(tmp_path / "packed")
    assert "class0/torn.jpg" in images.find()
    with pytest.raises(ImageError, match="it could not be packed: dilo-prep status of the packed"):
        images.read("class0/torn.jpg")
    pack(folder, tmp_path / "files", "--strict")  # not decoded: whoever reads it says it
    with pytest.raises(ImageError, match="not an image"):
        open_images(tmp_path / "files").decode("class0/torn.jpg")


def test_what_is_missing_is_made_and_what_is_damaged_is_found_and_made_anew(folder, tmp_path):
    store = tmp_path / "packed"
    pack(folder, store, "--shard-size", 3, "--num-tasks", 3, "--task-id", 1)
    with pytest.raises(
        StoreError, match="must be whole, got 1 of 3 shards: run the same dilo-prep"
    ):
        open_images(store)
    assert invoke(main, "status", store, "--missing").stdout == "0,2\n"
    pack(folder, store, "--shard-size", 3)
    sound = (store / "shard-00001.h5").read_bytes()
    at = sound.index(FolderSource(folder).read(open_images(store).find()[3])) + 99
    (store / "shard-00001.h5").write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
    result = invoke(main, "verify", store, "--workers", 1, "--images", folder, "--repair", status=1)
    assert "shard-00001.h5: its bytes are not those that were written" in result.stdout
    pack(folder, store, "--shard-size", 3)
    assert (store / "shard-00001.h5").read_bytes() == sound
    invoke(main, "verify", store, "--workers", 1, "--images", folder)
    (folder / "class0" / "000.jpg").write_bytes(b"another")
    assert (
        "class0/000.jpg: the image changed since"
        in invoke(main, "verify", store, "--workers", 1, "--images", folder, status=1).stdout
    )


def test_a_shard_of_another_plan_and_a_truncated_one_are_refused(folder, tmp_path):
    pack(folder, tmp_path / "a")
    pack(folder, tmp_path / "b", "--short-side", 24)
    shutil.copy(tmp_path / "b" / "shard-00000.h5", tmp_path / "a")
    with pytest.raises(StoreError, match=r"must be a whole shard .* got: a shard of another plan"):
        open_images(tmp_path / "a").find()
    content = (tmp_path / "b" / "shard-00000.h5").read_bytes()
    (tmp_path / "b" / "shard-00000.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match=r"must be a whole shard .* verify .* --repair moves it"):
        open_images(tmp_path / "b").find()


def _digest(images, name):
    return hash(images.read(name))


def test_packed_images_are_read_after_fork_and_when_sent_to_a_new_process(folder, tmp_path):
    pack(folder, tmp_path / "packed")
    images = open_images(tmp_path / "packed").absolute()
    name = images.find()[2]
    expected = images.read(name)
    copy = pickle.loads(pickle.dumps(images))
    assert len(pickle.dumps(images)) < 2000
    assert copy.read(name) == expected
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap(_digest, [(images, name)] * 4) == [hash(expected)] * 4


def test_a_shard_that_is_replaced_while_it_is_read_is_noticed(folder, tmp_path):
    pack(folder, tmp_path / "packed")
    images = open_images(tmp_path / "packed")
    images.read(images.find()[0])
    with (tmp_path / "packed" / "shard-00000.h5").open("ab") as shard:
        shard.write(b"more")
    with pytest.raises(DiloError, match="must stay as it was when its images were listed"):
        images.read(images.find()[0])


def test_classes_of_samples_are_packed_beside_their_names(folder, tmp_path):
    samples = {}
    for number, content in enumerate(contents_of(folder).values()):
        samples[f"{number}.jpg"], samples[f"{number}.cls"] = content, b"ab"[number % 2 :][:1]
    tar = tar_of(samples, tmp_path / "samples.tar")
    pack(tar, tmp_path / "packed", "--shard-size", 3)
    images = open_images(tmp_path / "packed")
    assert images.labels(images.find()) == list("abababa")


def test_shards_of_large_files_hold_fewer_images(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "SHARD_BYTES", 5 * (folder / "class0" / "000.jpg").stat().st_size)
    pack(folder, tmp_path / "packed")
    assert 3 <= Plan.load(tmp_path / "packed").shard_size <= 6


def test_a_plan_of_another_version_is_refused(folder, tmp_path):
    pack(folder, tmp_path / "packed", "--plan-only")
    plan = json.loads((tmp_path / "packed" / "plan.json").read_text())
    plan["parameters"] = {"version": 2}
    (tmp_path / "packed" / "plan.json").write_text(
        json.dumps(plan, indent=2, sort_keys=True) + "\n"
    )
    plan = Plan.load(tmp_path / "packed")
    with pytest.raises(StoreError, match="asks for images packed as this version of dilo does not"):
        packing.PackSource(FolderSource(folder)).open(tmp_path / "packed", plan)
