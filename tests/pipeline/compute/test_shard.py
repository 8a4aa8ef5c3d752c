"""Building a shard: its rows, what it refuses to call done, and when it ends itself."""

import errno
import pickle
import zlib

import h5py
import pytest
from support.photographs import photograph_folder

from dilo.pipeline.compute import failures
from dilo.pipeline.compute.shard import Builder
from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.masks.computed import prepare
from dilo.pipeline.masks.network import NetworkRun
from dilo.pipeline.saliency import MaskRecipe


@pytest.fixture
def planned(tmp_path):
    images = photograph_folder(tmp_path / "images", 6)
    prepare(images, tmp_path / "store", recipe=MaskRecipe.named("rbd"), size=16, shard_size=3)
    return images, tmp_path / "store"


def test_a_row_records_size_and_checksum_of_the_file_that_was_read(planned):
    images, store = planned
    (images / "class0" / "000.jpg").write_bytes(b"no image")
    (images / "class0" / "002.jpg").unlink()
    outcome = Builder(images, store)(0)
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
    builder = Builder(images, store)
    first = builder(1)
    before = (store / "shard-00001.h5").stat()
    (images / "class1" / "001.jpg").write_bytes(b"no image")
    assert builder(1) == first
    assert (store / "shard-00001.h5").stat() == before


def test_a_folder_of_images_that_is_gone_or_empty_stops_the_run(planned):
    images, store = planned
    images.rename(images.with_name("elsewhere"))
    for _ in range(2):
        with pytest.raises(DiloError, match=r"class0 must hold .* is the disk mounted\? Finished"):
            Builder(images, store)(0)
        (images / "class0").mkdir(parents=True, exist_ok=True)
    assert not list(store.glob("shard-*"))


def test_a_row_that_is_broken_is_not_tried(planned):
    images, store = planned
    begun = []
    outcome = Builder(images, store).build(0, begin=begun.append, broken={1: "it kills"})
    assert begun == [0, 1, 2]
    assert outcome.failed == {"class0/002.jpg": "it kills"}


def test_it_can_be_sent_as_an_object_and_in_words(planned):
    images, store = planned
    builder = Builder(images, store, images / "masks")
    assert pickle.loads(pickle.dumps(builder)) == builder
    assert Builder.at(builder.places()) == builder
    assert Builder.at(Builder(images, store).places()) == Builder(images, store)
    opened = Builder(images, store, network=NetworkRun(images / "weights.pth", "cuda", 8, 2, 4))
    assert pickle.loads(pickle.dumps(opened)) == Builder.at(opened.places()) == opened


def test_a_disk_that_fails_stops_the_run_but_one_bad_sector_does_not(tmp_path, monkeypatch):
    images = photograph_folder(tmp_path / "images", 16)
    recipe = MaskRecipe.named("rbd")
    prepare(images, tmp_path / "store", recipe=recipe, size=16, shard_size=16)
    read, bad = failures.read_file, {"class0/000.jpg"}

    def failing(path):
        if path.relative_to(images).as_posix() in bad:
            raise ImageError("Input/output error", errno.EIO)
        return read(path)

    monkeypatch.setattr(failures, "read_file", failing)
    assert Builder(images, tmp_path / "store")(0).failed == {"class0/000.jpg": "Input/output error"}
    (tmp_path / "store" / "shard-00000.h5").unlink()
    bad |= {path.relative_to(images).as_posix() for path in images.rglob("*.jpg")}
    with pytest.raises(DiloError, match=r"10 images could not .*: Input/output error: the disk"):
        Builder(images, tmp_path / "store")(0)
    assert not list((tmp_path / "store").glob("shard-*"))
