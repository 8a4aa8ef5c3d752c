"""Building a shard: its rows, what it refuses to call done, and when it ends itself."""

import errno
import pickle
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.backgrounds import plan as plan_of_backgrounds
from support.photographs import photograph_folder
from support.shards import plan as plan_of_masks
from support.stores import create_mask_store

from dilo.pipeline.backgrounds.cropping import BackgroundSource
from dilo.pipeline.compute.shard import ShardBuilder, per_image_work
from dilo.pipeline.errors import DiloError, ImageError, StoreError
from dilo.pipeline.images import folder
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.masks.imported import ImportSource
from dilo.pipeline.masks.network import InferenceSettings
from dilo.pipeline.saliency import MaskRecipe


@pytest.fixture
def planned(tmp_path):
    images = photograph_folder(tmp_path / "images", 6)
    create_mask_store(
        images, tmp_path / "store", recipe=MaskRecipe.create("rbd"), size=16, shard_size=3
    )
    return images, tmp_path / "store"


def test_a_row_records_size_and_checksum_of_the_file_that_was_read(planned):
    images, store = planned
    (images / "class0" / "000.jpg").write_bytes(b"no image")
    (images / "class0" / "002.jpg").unlink()
    outcome = ShardBuilder(FolderSource(images), store, MethodSource()).build(0)
    assert outcome.failed == {
        "class0/000.jpg": "not an image",
        "class0/002.jpg": "No such file or directory",
    }
    third = (images / "class0" / "004.jpg").read_bytes()
    with h5py.File(store / "shard-00000.h5") as file:
        assert file["bytes"][:].tolist() == [8, 0, len(third)]
        assert file["file_crc32"][:].tolist() == [zlib.crc32(b"no image"), 0, zlib.crc32(third)]


def test_a_shard_that_is_there_is_not_built_again(planned):
    images, store = planned
    builder = ShardBuilder(FolderSource(images), store, MethodSource())
    first = builder.build(1)
    before = (store / "shard-00001.h5").stat()
    (images / "class1" / "001.jpg").write_bytes(b"no image")
    assert builder.build(1) == first
    assert (store / "shard-00001.h5").stat() == before


def test_a_folder_of_images_that_is_gone_or_empty_stops_the_run(planned):
    images, store = planned
    images.rename(images.with_name("elsewhere"))
    for _ in range(2):
        with pytest.raises(DiloError, match=r"class0 must hold .* is the disk mounted\? Finished"):
            ShardBuilder(FolderSource(images), store, MethodSource()).build(0)
        (images / "class0").mkdir(parents=True, exist_ok=True)
    assert not list(store.glob("shard-*"))


def test_a_row_that_is_broken_is_not_tried(planned):
    images, store = planned
    begun = []
    outcome = ShardBuilder(FolderSource(images), store, MethodSource()).build(
        0, on_row=begun.append, skip={1: "it kills"}
    )
    assert begun == [0, 1, 2]
    assert outcome.failed == {"class0/002.jpg": "it kills"}


@pytest.mark.parametrize(
    "source",
    [
        MethodSource(InferenceSettings(Path("weights.pth"), "cuda", 8, 2, 4)),
        ImportSource(Path("pngs")),
        BackgroundSource(Path("masks")),
    ],
)
def test_it_can_be_sent_to_a_worker_whoever_makes_its_rows(planned, source):
    builder = ShardBuilder(*planned, source)
    assert pickle.loads(pickle.dumps(builder)) == builder
    shard, build = pickle.loads(pickle.dumps((1, builder.build)))
    assert (shard, build.__self__) == (1, builder)


def test_a_method_that_is_not_there_is_refused_and_a_kind_of_backgrounds_is_opened(tmp_path):
    (tmp_path / "plan.json").write_text(plan_of_masks().text())
    with pytest.raises(StoreError, match="asks for masks that this version of dilo does not make"):
        MethodSource().open(tmp_path, plan_of_masks())
    work = BackgroundSource().open(tmp_path, plan_of_backgrounds("images"))
    assert list(work(range(3), ["a", "b", "c"]).rows_to_do) == [0, 1, 2]


def test_each_row_is_filled_by_its_own_image():
    asked = []

    def make(path, content):
        asked.append((path, content))
        if content == b"bad":
            raise ZeroDivisionError
        return np.full((4, 4), len(content), np.uint8), (len(content), 9)

    work = per_image_work(make, 4)(range(6, 8), ["a\\b.jpg", "c.jpg"])
    assert list(work.rows_to_do) == [0, 1]
    assert work.rows.path == [r"a\\b.jpg", "c.jpg"]
    work.process(1, b"four")
    with pytest.raises(ZeroDivisionError):
        work.process(0, b"bad")
    assert asked == [("c.jpg", b"four"), ("a\\b.jpg", b"bad")]
    assert work.rows.shape.tolist() == [[0, 0], [4, 9]]
    assert work.rows.masks.mean(axis=(1, 2)).tolist() == [0, 4]


def test_a_disk_that_fails_stops_the_run_but_one_bad_sector_does_not(tmp_path, monkeypatch):
    images = photograph_folder(tmp_path / "images", 16)
    recipe = MaskRecipe.create("rbd")
    create_mask_store(images, tmp_path / "store", recipe=recipe, size=16, shard_size=16)
    read, bad = folder.read_file, {"class0/000.jpg"}

    def failing(path):
        if path.relative_to(images).as_posix() in bad:
            raise ImageError("Input/output error", errno.EIO)
        return read(path)

    monkeypatch.setattr(folder, "read_file", failing)
    assert ShardBuilder(FolderSource(images), tmp_path / "store", MethodSource()).build(
        0
    ).failed == {"class0/000.jpg": "Input/output error"}
    (tmp_path / "store" / "shard-00000.h5").unlink()
    bad |= {path.relative_to(images).as_posix() for path in images.rglob("*.jpg")}
    with pytest.raises(DiloError, match=r"10 images could not .*: Input/output error: the disk"):
        ShardBuilder(FolderSource(images), tmp_path / "store", MethodSource()).build(0)
    assert not list((tmp_path / "store").glob("shard-*"))
