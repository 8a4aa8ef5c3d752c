"""A store as a folder of PNGs: the right pixels by the right names, whatever kills the writer."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from PIL import Image
from support.cli import invoke
from support.photographs import photograph, photograph_folder
from support.stores import create_mask_store

from dilo.pipeline.cli import main
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.masks import export
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.maskrows import MaskRows
from dilo.pipeline.store.shardfile import write_shard


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make a store of photographs, one of them in two formats and one broken."""
    images = photograph_folder(tmp_path_factory.mktemp("images"), 6)
    Image.fromarray(photograph(9, 20, 90)).save(images / "class0" / "000.png")
    (images / "class1" / "broken.jpg").write_bytes(b"no")
    return store_of(images, tmp_path_factory.mktemp("store") / "masks")


def store_of(images, folder):
    plan = create_mask_store(images, folder, recipe=MaskRecipe.create("rbd"), size=32, shard_size=3)
    for shard in range(plan.shards):
        ShardBuilder(FolderSource(images), folder, MethodSource()).build(shard)
    return folder


def listed(folder, paths, *, size=16, shard_size=50):
    """Make a store of noise under any names."""
    names = Names(paths)
    plan = export.Plan(
        kind="masks",
        method="noise",
        parameters={},
        size=size,
        shard_size=shard_size,
        images=len(names),
        digest=names.digest(),
    )
    folder.mkdir()
    (folder / "images.txt").write_text(names.text())
    (folder / "plan.json").write_text(plan.text())
    rng = np.random.default_rng(0)
    for shard in range(plan.shards):
        rows = [escaped(names[i]) for i in plan.rows(shard)]
        held = MaskRows.empty(rows, size)
        held.masks[:] = rng.integers(0, 256, (len(rows), size, size), np.uint8)
        held.shape[:] = [20, 30]
        write_shard(folder / f"shard-{shard:05d}.h5", held, plan.fingerprint())
    return folder


def exported(store, out, *more, status=0):
    return invoke(main, "export", store, "--out", out, "--workers", 1, *more, status=status)


def pixels(path):
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.asarray(picture)


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


#: What becomes of the images of `made`.
PNGS = {
    "class0/000.jpg": "class0/000.jpg.png",
    "class0/000.png": "class0/000.png.png",
    "class0/002.jpg": "class0/002.png",
    "class0/004.jpg": "class0/004.png",
    "class1/001.jpg": "class1/001.png",
    "class1/003.jpg": "class1/003.png",
    "class1/005.jpg": "class1/005.png",
}


def test_pngs_at_store_size_are_the_masks(made, tmp_path):
    exported(made, tmp_path / "out", "--size", "store")
    assert files(tmp_path / "out").keys() == {*PNGS.values(), "export.json"}
    store = MaskStore(made)
    for name, png in PNGS.items():
        assert np.array_equal(pixels(tmp_path / "out" / png), store[name])


def test_pngs_are_at_image_size_unless_said_otherwise_and_need_no_image(made, tmp_path):
    exported(made, tmp_path / "out")
    store = MaskStore(made)
    shapes = dict(zip(store.names, store.column("shape").tolist(), strict=True))
    assert shapes["class0/000.png"] == [20, 90]
    for name, png in PNGS.items():
        found = pixels(tmp_path / "out" / png)
        assert list(found.shape) == shapes[name]
        assert np.array_equal(found, stretch_mask(store[name], found.shape))
    exported(made, tmp_path / "same", "--size", "image")
    assert files(tmp_path / "same") == files(tmp_path / "out")


def test_failures_are_counted_and_named_and_all_is_said_for_machines(made, tmp_path):
    shown = exported(made, tmp_path / "text").stdout
    assert "7 PNGs written, 0 already there, 1 image failed" in shown
    assert "  failed: class1/broken.jpg: not an image" in shown
    assert json.loads(exported(made, tmp_path / "out", "--json").stdout) == {
        "store": str(made),
        "out": str(tmp_path / "out"),
        "size": "image",
        "images": 8,
        "written": 7,
        "kept": 0,
        "failed": {"class1/broken.jpg": "not an image"},
    }


def test_at_most_ten_failures_are_named(tmp_path):
    images = photograph_folder(tmp_path / "images", 1)
    for number in range(12):
        (images / f"{number:02d}.jpg").write_bytes(b"no")
    result = exported(store_of(images, tmp_path / "store"), tmp_path / "out")
    assert result.stdout.count("  failed: ") == 10
    assert f"and 2 more: dilo-prep status {tmp_path / 'store'} --json" in result.stdout


def test_what_is_there_is_not_written_again(made, tmp_path):
    out = tmp_path / "out"
    exported(made, out)
    before = files(out)
    (out / "class0" / "002.png").unlink()
    (out / "class1" / "001.png").unlink()
    (out / "class0" / "004.png").write_bytes(b"mine")
    assert "2 PNGs written, 5 already there" in exported(made, out).stdout
    assert files(out) == before | {"class0/004.png": b"mine"}


def test_workers_write_the_same_bytes(made, tmp_path):
    exported(made, tmp_path / "one")
    invoke(main, "export", made, "--out", tmp_path / "two", "--workers", 2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_killed_export_goes_on_and_ends_as_an_undisturbed_one(tmp_path):
    store = listed(tmp_path / "store", [f"{i % 7}/{i}.jpg" for i in range(600)], size=200)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = [sys.executable, "-m", "dilo.pipeline", "export", str(store), "--size", "store"]
    command += ["--workers", "2", "--out", str(broken)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(broken.rglob("*.png"))) < 30 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed = files(broken)
    assert 30 < len(killed) < 601
    exported(store, whole, "--size", "store")
    assert all(files(whole)[name] == killed[name] for name in killed if not name.startswith("."))
    exported(store, broken, "--size", "store")
    assert files(broken) == files(whole)
    assert len(files(broken)) == 601


def test_a_store_with_missing_shards_is_refused_before_anything_is_written(tmp_path):
    store = listed(tmp_path / "store", [f"{i}.jpg" for i in range(6)], shard_size=1)
    for shard in (1, 2, 4):
        (store / f"shard-{shard:05d}.h5").unlink()
    refused = exported(store, tmp_path / "out", status=3).stderr
    assert "must be whole to be exported, got missing shards 1-2,4: run the same" in refused
    assert not (tmp_path / "out").exists()


def test_a_damaged_shard_is_named(tmp_path):
    store = listed(tmp_path / "store", ["a.jpg", "b.jpg"], shard_size=1)
    with h5py.File(store / "shard-00001.h5", "r+") as file:
        del file["status"]
    refused = exported(store, tmp_path / "out", status=3).stderr
    assert "shard-00001.h5 must be a whole shard, got: " in refused


@pytest.mark.parametrize(
    "path", ["../a.jpg", "/a.jpg", "b/../../a.jpg", "b/./a.jpg", "b//a.jpg", ".."]
)
def test_no_path_leaves_the_folder(tmp_path, path):
    store = listed(tmp_path / "store", ["fine.jpg", path])
    refused = exported(store, tmp_path / "out", status=3).stderr
    assert f"a line must be a path below the folder of images, got {path!r}" in refused
    assert {entry.name for entry in tmp_path.iterdir()} == {"store"}


def test_a_folder_of_something_else_is_refused(made, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").touch()
    refused = exported(made, out, status=3).stderr
    assert f"--out {out} must be empty or an export, got files but no export.json" in refused
    assert files(out) == {"notes.txt": b""}


def test_an_empty_folder_serves_though_it_has_hidden_files(made, tmp_path):
    (tmp_path / ".DS_Store").touch()
    exported(made, tmp_path)
    assert files(tmp_path).keys() == {*PNGS.values(), "export.json", ".DS_Store"}


def test_an_export_of_another_size_or_store_or_a_broken_mark_is_refused(made, tmp_path):
    out = tmp_path / "out"
    exported(made, out)
    before = files(out)
    words = f"--out {out} must be an export of this store at this size"
    refused = exported(made, out, "--size", "store", status=3).stderr
    assert words in refused
    assert '"size": "image"}: give a new folder' in refused
    other = listed(tmp_path / "store", ["a.jpg"])
    assert words in exported(other, out, status=3).stderr
    assert files(out) == before
    (out / "export.json").write_bytes(b"\xff[")
    assert words in exported(made, out, status=3).stderr


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing_behind(tmp_path):
    store = listed(tmp_path / "store", ["a/b.jpg"], size=64)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        refused = exported(store, tmp_path / "out", "--size", "store", status=3).stderr
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"{tmp_path / 'out' / 'a' / 'b.png'}: File too large: neither its disk nor" in refused
    assert files(tmp_path / "out").keys() == {"export.json"}
    exported(store, tmp_path / "out", "--size", "store")
    assert files(tmp_path / "out").keys() == {"export.json", "a/b.png"}


def test_a_name_as_long_as_a_disk_allows_has_its_png(tmp_path):
    name = "ä" * 125 + ".jpg"
    exported(listed(tmp_path / "store", [name]), tmp_path / "out")
    assert files(tmp_path / "out").keys() == {"ä" * 125 + ".png", "export.json"}


def test_a_name_that_is_no_text_is_the_name_on_the_disk(tmp_path):
    raw = [b"\xff\n\\.jpg", "新/ä.jpg".encode()]
    store = listed(tmp_path / "store", [os.fsdecode(name) for name in raw])
    exported(store, tmp_path / "out")
    assert set(os.listdir(os.fsencode(tmp_path / "out"))) == {
        b"\xff\n\\.png",
        "新".encode(),
        b"export.json",
    }
    assert os.listdir(tmp_path / "out" / "新") == ["ä.png"]
