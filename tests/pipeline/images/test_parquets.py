"""Images in Parquet: which names their rows have, in which order they are read, what is refused."""

import errno
import functools
import json
import os

import pytest
from support.archives import contents_of
from support.cli import invoke
from support.photographs import photograph_folder

from dilo.pipeline.cli import main
from dilo.pipeline.errors import AccessError, DiloError, ImageError
from dilo.pipeline.images import decoding, parquets
from dilo.pipeline.images.source import open_images

pa = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'dilo[parquet]'")
from pyarrow import parquet  # noqa: E402  # where it is installed

open_packable = functools.partial(open_images, in_order=True)


@pytest.fixture
def files(tmp_path):
    return list(contents_of(photograph_folder(tmp_path / "images", 7)).values())


def written(path, images, labels=None, paths=None, names=None, column="image", groups=2):
    """Write a file as Hugging Face's library does."""
    path.parent.mkdir(exist_ok=True)
    paths = paths or [None] * len(images)
    rows = [{"bytes": i, "path": p} for i, p in zip(images, paths, strict=True)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({column: pa.array(rows, kind)})
    if labels is not None:
        table = table.append_column("label", pa.array(labels))
    features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    parquet.write_table(table, path, row_group_size=groups)
    return path


def test_rows_are_named_by_their_class_and_the_file_name_that_they_carry(files, tmp_path):
    paths = [f"train/n{i}.JPEG" for i in range(7)]
    labels = [0, 1, 0, 1, 1, -1, 0]
    path = written(tmp_path / "a.parquet", files, labels, paths, ["tench", "shark"])
    images = open_packable(path)
    names = images.find()
    assert list(names[:3]) == ["tench/n0.JPEG", "shark/n1.JPEG", "tench/n2.JPEG"]
    assert names[5] == "n5.JPEG"
    assert [images.read(name) for name in names] == files
    assert list(images.find(["shark/*"])) == ["shark/n1.JPEG", "shark/n3.JPEG", "shark/n4.JPEG"]


@pytest.mark.parametrize(
    ("labels", "paths", "names", "first"),
    [
        (list("abababa"), None, None, "a/0.jpg"),
        ([3] * 7, ["same.jpg"] * 7, None, "3/0.jpg"),
        ([0] * 7, ["../x.jpg", None, *"abcde"], ["crane", "crane"], "0/0.jpg"),
        (None, None, None, "0.jpg"),
    ],
)
def test_rows_without_a_file_name_of_their_own_are_named_by_number(
    files, tmp_path, labels, paths, names, first
):
    path = written(tmp_path / "a.parquet", files, labels, paths, names)
    assert open_packable(path).find()[0] == first


def test_a_split_of_several_files_is_read_group_by_group_in_order(files, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    for number in range(2):
        part = files[4 * number :][:4]
        name = f"train-{number:05d}-of-00002.parquet"
        written(folder / name, part, [0] * len(part), names=["a"])
    written(folder / "test-00000-of-00001.parquet", files[:1], [0], names=["a"])
    with pytest.raises(
        DiloError, match=r"one split of a data set, .* with test, train: give .*/test"
    ):
        open_packable(folder)
    opened, original = [], parquets._open
    invoke(main, "pack", "--images", folder / "train", "--out", tmp_path / "packed", "--plan-only")
    monkeypatch.setattr(parquets, "_open", lambda file: opened.append(file) or original(file))
    options = ("--workers", 1, "--backend", "threading")
    arguments = ("--images", folder / "train", "--out", tmp_path / "packed", *options)
    parquets._image_column.cache_clear()
    invoke(main, "pack", *arguments)
    assert len(opened) == 4  # each group of rows once
    images = open_images(tmp_path / "packed")
    assert [images.read(name) for name in images.find()] == files
    assert images.find()[6] == "a/6.jpg"
    invoke(main, "verify", tmp_path / "packed", "--images", folder / "train", "--workers", 1)
    invoke(main, "pack", *arguments)


def test_training_and_masks_are_refused_parquet_in_a_sentence_that_names_pack(files, tmp_path):
    path = written(tmp_path / "data" / "train-00000-of-00001.parquet", files)
    for images in (path, path.parent, path.parent / "train"):
        with pytest.raises(DiloError) as caught:
            open_images(images)
        assert str(caught.value) == (
            f"--images {images} is Parquet, which is read in order, once: run dilo-prep pack "
            f"--images {images} --out PACKED, then give --images PACKED"
        )
    photograph_folder(tmp_path / "data" / "images", 1)  # then it is metadata beside images
    assert list(open_images(path.parent).find()) == ["images/class0/000.jpg"]


def test_what_is_wrong_with_a_file_or_a_row_is_said(files, tmp_path, monkeypatch):
    images = open_packable(written(tmp_path / "a.parquet", [*files[:2], None]))
    with pytest.raises(ImageError, match="its row has no bytes of an image, perhaps only a path"):
        images.read("2.jpg")
    with pytest.raises(ImageError, match="there is no such row"):
        images.read("9.jpg")
    other = tmp_path / "b.parquet"
    parquet.write_table(pa.table({"text": ["a"]}), other)
    with pytest.raises(DiloError, match=r"must have a column image or img .*, got columns text"):
        open_packable(other).find()
    other.write_bytes(other.read_bytes()[:-5])
    with pytest.raises(DiloError, match="must be a whole Parquet file, got: "):
        open_packable(other).find()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DiloError, match=r"needs pyarrow: pip install 'dilo\[parquet\]'"):
        open_packable(other)


def test_a_plain_column_of_bytes_is_read_too(files, tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"jpg": files, "cls": [5] * 7}), path)
    images = open_packable(path)
    assert images.find()[6] == "5/6.jpg"
    assert images.read("5/6.jpg") == files[6]


@pytest.fixture
def many(files, tmp_path):
    """Write 14 images in groups of two, and plan their packing."""
    path = written(tmp_path / "data" / "a.parquet", files * 2)
    invoke(main, "pack", "--images", path, "--out", tmp_path / "packed", "--plan-only")
    parquets._image_column.cache_clear()
    return path


def pack(path, status):
    options = ("--workers", 1, "--backend", "threading", "--strict")
    arguments = ("--images", path, "--out", path.parents[1] / "packed", *options)
    return invoke(main, "pack", *arguments, status=status).stderr


def test_a_disk_that_goes_away_ends_the_work_in_words(many):
    images = open_packable(many)
    names = images.find()
    many.unlink()
    assert images.lost(names[0]) == many
    with pytest.raises(DiloError, match=r"a.parquet must hold '00.jpg' .* is the disk mounted\?"):
        images.read(names[0])


def test_a_disk_that_fails_is_tried_again_and_then_ends_the_work(many, monkeypatch):
    monkeypatch.setattr(decoding, "RETRY_DELAYS", (0.0,))
    images, original, calls = open_packable(many), parquets._open, []
    names = images.find()

    def fail_once(file, *more):
        calls.append(file)
        if len(calls) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(file, *more)

    monkeypatch.setattr(parquets, "_open", fail_once)
    images.read(names[0])
    assert len(calls) == 2

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(parquets, "_open", fail)
    parquets._image_column.cache_clear()
    with pytest.raises((ImageError, AccessError)) as caught:
        images.read(names[0])
    assert caught.value.errno == errno.EIO
    assert "Input/output error" in pack(many, 3)
    assert not list((many.parents[1] / "packed").glob("shard-*"))


def test_the_files_are_looked_at_once_not_at_each_read(many, monkeypatch):
    images, looks, original = open_packable(many), [], os.stat
    names = images.find()
    monkeypatch.setattr(os, "stat", lambda path, **o: looks.append(path) or original(path, **o))
    assert all(images.read(name) for name in names)
    assert sum(str(path) == str(many) for path in looks) <= 7  # for each group of rows


def test_a_file_that_is_written_anew_while_it_is_read_ends_the_work(files, many):
    images = open_packable(many)
    names = images.find()
    written(many, files)
    with pytest.raises(DiloError, match=r"a.parquet must stay as it was .* run the same command"):
        images.read(names[0])


def test_an_image_or_a_group_of_rows_that_memory_cannot_hold_is_refused(many, monkeypatch):
    images = open_packable(many)
    names = images.find()
    monkeypatch.setattr(decoding, "MAX_BYTES", 10)
    with pytest.raises(ImageError, match="a file must have at most 10 bytes, got"):
        images.read(names[0])
    parquets._image_column.cache_clear()
    monkeypatch.setattr(parquets, "MAX_GROUP_BYTES", 1000)
    with pytest.raises(DiloError, match=r"a.parquet must have at most 1000 bytes .* fewer rows"):
        images.read(names[0])


@pytest.mark.parametrize("kind", ["large_string", "dictionary"])
def test_classes_in_columns_of_other_kinds_of_text_are_read(files, tmp_path, kind):
    labels = pa.array(list("abababa"))
    types = {"large_string": pa.large_string(), "dictionary": pa.dictionary(pa.int8(), pa.string())}
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"jpg": files, "label": labels.cast(types[kind])}), path)
    assert list(open_packable(path).find()[:2]) == ["a/0.jpg", "b/1.jpg"]
