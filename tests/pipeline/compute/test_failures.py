"""Rows as they are tried: what was read, and whose fault it is."""

import errno
import os
import pickle
import zlib

import pytest
from support.fakes import Fake, fake_maker
from support.photographs import photograph_folder
from support.stores import create_mask_store

from dilo.pipeline.compute.failures import FailureRecorder
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.errors import AccessError, DiloError, ImageError
from dilo.pipeline.images import decoding
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.names import Names
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.masks.sample import take_sample
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.store.maskrows import MaskRows


@pytest.fixture
def attempts(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"content")
    rows = MaskRows.empty(["a.jpg", "gone.jpg", "a.jpg"], 4)
    return FailureRecorder(FolderSource(tmp_path), "rbd", rows, {2: "it kills"})


def raising(error):
    raise error


def test_what_is_read_is_recorded_also_of_a_row_that_must_not_be_tried(attempts):
    assert attempts.read(0) == b"content"
    assert attempts.read(1) is None
    assert attempts.read(2) is None
    assert attempts.rows.bytes.tolist() == [7, 0, 7]
    assert attempts.rows.file_crc32.tolist() == [zlib.crc32(b"content"), 0, zlib.crc32(b"content")]
    assert attempts.rows.error == ["", "No such file or directory", "it kills"]


def test_an_error_is_the_row_s_own_but_for_one_that_is_no_image_s_fault(attempts):
    assert attempts.run(0, divmod, 7, 2) == (3, 1)
    assert attempts.run(0, raising, ImageError("truncated")) is None
    assert attempts.run(1, raising, ZeroDivisionError("by nothing")) is None
    assert attempts.rows.error[:2] == ["truncated", "rbd failed: ZeroDivisionError: by nothing"]
    with pytest.raises(DiloError, match="the disk of masks"):
        attempts.run(0, raising, DiloError("the disk of masks is gone"))


def refusing(monkeypatch, number, which=lambda path: True):
    """Let the system refuse to open some files, as it does to users who are not root."""
    really = os.open

    def open_or_refuse(path, *more, **options):
        if str(path).endswith(".jpg") and which(str(path)):
            raise OSError(number, os.strerror(number), path)
        return really(path, *more, **options)

    monkeypatch.setattr(os, "open", open_or_refuse)
    monkeypatch.setattr(decoding, "RETRY_DELAYS", ())


@pytest.fixture
def planned(tmp_path):
    folder = photograph_folder(tmp_path / "images", 6)
    store = tmp_path / "store"
    create_mask_store(folder, store, recipe=MaskRecipe.create("rbd"), size=16, shard_size=2)
    return folder, store


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE])
def test_images_that_the_system_does_not_give_do_not_become_a_store_of_failures(
    planned, monkeypatch, number
):
    folder, store = planned
    refusing(monkeypatch, number)
    with pytest.raises(AccessError, match=rf"images could not be read, .*{os.strerror(number)}"):
        ShardBuilder(FolderSource(folder), store, MethodSource()).build(0)
    names = Names.read(store / "images.txt")
    with pytest.raises(AccessError, match=os.strerror(number)):  # a dry run says no time either
        take_sample(FolderSource(folder), names, "fake", fake_maker(Fake(), 32))
    assert not list(store.glob("shard-*"))


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_single_image_that_nobody_may_read_is_a_row_that_failed(planned, monkeypatch, number):
    folder, store = planned
    refusing(monkeypatch, number, lambda path: path.endswith(("class0/000.jpg", "class0/002.jpg")))
    assert (
        list(ShardBuilder(FolderSource(folder), store, MethodSource()).build(0).failed.values())
        == [os.strerror(number)] * 2
    )


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_machine_that_is_short_of_something_blames_no_image(planned, monkeypatch, number):
    folder, store = planned
    refusing(monkeypatch, number, lambda path: path.endswith("class0/000.jpg"))
    with pytest.raises(AccessError, match=rf"{os.strerror(number)}: ") as refusal:
        ShardBuilder(FolderSource(folder), store, MethodSource()).build(0)
    assert pickle.loads(pickle.dumps(refusal.value)).errno == number
    assert not list(store.glob("shard-*"))


def test_too_many_open_files_are_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(b"content")
    refusing(monkeypatch, errno.EMFILE)
    monkeypatch.setattr(decoding, "RETRY_DELAYS", (0.2, 1.0))
    monkeypatch.setattr(decoding.time, "sleep", pytest.fail)
    with pytest.raises(ImageError, match="Too many open files"):
        decoding.read_file(tmp_path / "a.jpg")


def test_a_folder_of_other_files_does_not_become_a_store_of_failures(planned):
    folder, store = planned
    for path in folder.rglob("*.jpg"):
        path.rename(path.with_name(f"other-{path.name}"))
    with pytest.raises(
        DiloError, match=r"images could not be read.*is it the folder that the store"
    ):
        ShardBuilder(FolderSource(folder), store, MethodSource()).build(0)
    assert not list(store.glob("shard-*"))
