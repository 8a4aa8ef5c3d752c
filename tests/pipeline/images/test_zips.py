"""Zips as programs write them, and what is wrong with some."""

import contextlib
import stat
import zipfile

import pytest
from support.archives import zip_of

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images.listing import ImageCounter
from dilo.pipeline.images.source import open_images
from dilo.pipeline.images.zips import list_zip

CONTENT = {"a/1.jpg": b"one" * 300, "a/2.jpg": b"two" * 300}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_bytes_are_the_fault_of_their_image_alone(tmp_path, method):
    path = zip_of(CONTENT, tmp_path / "a.zip", method)
    content = bytearray(path.read_bytes())
    content[30 + len("a/1.jpg") + 4] ^= 1
    path.write_bytes(content)
    images = open_images(path)
    with pytest.raises(ImageError, match=r"damaged|checksum differs|must have 900 bytes"):
        images.read("a/1.jpg")
    assert images.read("a/2.jpg") == CONTENT["a/2.jpg"]


def test_a_member_that_says_a_wrong_size_is_not_inflated_beyond_it(tmp_path):
    path = zip_of({"a/1.jpg": bytes(10**6)}, tmp_path / "a.zip", zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    path.write_bytes(content.replace((10**6).to_bytes(4, "little"), (999).to_bytes(4, "little")))
    with pytest.raises(ImageError, match="it must have 999 bytes, got 1000"):
        open_images(path).read("a/1.jpg")


def test_members_that_are_encrypted_or_compressed_otherwise_are_rows_with_reasons(tmp_path):
    path = zip_of(CONTENT, tmp_path / "a.zip", zipfile.ZIP_LZMA)
    with pytest.raises(ImageError, match="compressed otherwise than by deflate: extract"):
        open_images(path).read("a/1.jpg")
    path = zip_of(CONTENT, tmp_path / "b.zip")
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ImageError, match="encrypted: extract the archive"):
        open_images(path).read("a/1.jpg")


def test_zip64_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    path = zip_of(CONTENT, tmp_path / "a.zip")
    assert b"PK\x06\x06" in path.read_bytes()
    images = open_images(path)
    assert {name: images.read(name) for name in images.find()} == CONTENT


def test_a_link_has_the_bytes_of_what_it_leads_to(tmp_path):
    path = zip_of(CONTENT, tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("b/x.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "../a/2.jpg")
    images = open_images(path)
    assert list(images.find()) == [*CONTENT, "b/x.jpg"]
    assert images.read("b/x.jpg") == CONTENT["a/2.jpg"]


@pytest.mark.parametrize("kept", [40, 1000, -10])
def test_a_truncated_zip_is_refused(tmp_path, kept):
    path = zip_of(CONTENT, tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DiloError, match=r"a.zip must be a whole zip, got: .*: it is truncated"):
        open_images(path).find()


def test_classes_beside_the_images_are_read(tmp_path):
    images = open_images(zip_of({"a.jpg": b"", "a.cls": b"cat"}, tmp_path / "a.zip"))
    assert images.labels(images.find()) == ["cat"]


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_damaged_zip_is_refused_in_a_sentence_whichever_byte_it_is(tmp_path, method):
    path = zip_of(
        {"a.jpg": b"x", "a.cls": b"cat" * 9, "\xe4.png": b"y"}, tmp_path / "a.zip", method
    )
    with zipfile.ZipFile(path, "a", method) as archive:
        link = zipfile.ZipInfo("b.jpg")
        link.external_attr, link.compress_type = (stat.S_IFLNK | 0o777) << 16, method
        archive.writestr(link, "a.jpg" * 9)
    sound = path.read_bytes()
    for place in range(len(sound)):
        with path.open("r+b") as file:
            file.write(sound[:place] + bytes([sound[place] ^ 0xFF]) + sound[place + 1 :])
            file.seek(0)
            with contextlib.suppress(DiloError):
                list_zip(file, str(path), ImageCounter())
