"""What is no image says what it is; what is one of a rarer kind is read where Pillow reads it."""

import bz2
import gzip
import io
import struct
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image
from support.photographs import photograph

from dilo.pipeline.errors import ImageError
from dilo.pipeline.images import decode_content
from dilo.pipeline.images.decoding import FORMATS, MAX_PIXELS
from dilo.pipeline.images.signatures import kind_of

PIXELS = photograph(3)


def saved(kind, image=None, **options):
    buffer = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(buffer, kind, **options)
    return buffer.getvalue()


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", saved("JPEG"))
    return buffer.getvalue()


def ftyp(*brands):
    return b"\0\0\0\x18ftyp" + brands[0] + b"\0\0\0\0" + b"".join(brands[1:]) + bytes(99)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an image but an empty file"),
        (gzip.compress(saved("JPEG")), "not an image but a gzip archive: unpack it"),
        (bz2.compress(saved("JPEG")), "not an image but a bzip2 archive: unpack it"),
        (zipped(), "not an image but a zip archive: unpack it"),
        (b"\n <!DOCTYPE html><p>404", "not an image but an HTML page: download the image again"),
        (b'<?xml version="1.0"?><svg/>', "an SVG drawing: save it as PNG"),
        (b"%PDF-1.4", "not an image but a PDF document: save its picture as JPEG or PNG"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (ftyp(b"heic", b"mif1", b"heic"), "but a HEIC picture: save it as JPEG or PNG"),
        (ftyp(b"mif1", b"mif1", b"heic"), "but a HEIC picture: save it as JPEG or PNG"),
        (ftyp(b"isom", b"isom", b"mp41"), "not an image but a film"),
        (b"\xff\x0a" + bytes(50), "but a JPEG XL picture: save it as JPEG or PNG"),
        (b"8BPS\0\1" + bytes(50), "not an image but a Photoshop document"),
        (b"some words", "not an image"),
    ],
)
def test_what_is_no_image_says_what_it_is(content, words):
    with pytest.raises(ImageError) as caught:
        decode_content(content)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(kind_of(content)) < 60


@pytest.mark.skipif("JPEG2000" not in FORMATS, reason="Pillow was built without OpenJPEG")
def test_a_jpeg_2000_picture_is_read_as_pillow_reads_it_and_refused_when_truncated():
    content = saved("JPEG2000")
    assert np.array_equal(decode_content(content), PIXELS)
    for end in (len(content) // 2, 60, 13):
        with pytest.raises(ImageError):
            decode_content(content[:end])


@pytest.mark.skipif("AVIF" not in FORMATS, reason="Pillow was built without libavif")
def test_an_avif_picture_is_read_as_pillow_reads_it_and_refused_when_truncated():
    content = saved("AVIF", quality=100, subsampling="4:4:4")
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(decode_content(content), np.asarray(image))
    assert np.abs(decode_content(content).astype(int) - PIXELS).mean() < 2
    for end in (len(content) // 2, 60, 13):
        with pytest.raises(ImageError):
            decode_content(content[:end])


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
def test_a_rarer_picture_that_claims_to_be_huge_is_refused(kind):
    if kind not in FORMATS:
        pytest.skip(f"Pillow was built without {kind}")
    content = saved(kind)
    size = (80).to_bytes(4), (60).to_bytes(4)
    huge = (60_000).to_bytes(4)
    content = content.replace(b"".join(size), huge * 2).replace(b"".join(reversed(size)), huge * 2)
    with pytest.raises(ImageError, match=rf"at most {MAX_PIXELS} pixels|but is damaged"):
        decode_content(content)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_a_tiff_of_colours_in_floating_point_is_scaled_by_its_range(kind, top):
    whole = np.where(PIXELS.max() == PIXELS, 255, PIXELS).astype(np.float64)
    samples = (whole / 255 * top).astype(kind)
    content = cv2.imencode(".tiff", samples[:, :, ::-1])[1].tobytes()
    assert np.array_equal(decode_content(content), whole.astype(np.uint8))
    samples[0, 0] = np.nan
    decode_content(cv2.imencode(".tiff", samples)[1].tobytes())


def tiff(bits, kind):
    """Write a TIFF of one pixel."""
    tags = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 220), (277, 3, 1, 3), (278, 3, 1, 1), (279, 4, 1, 12), (339, 3, 3, 206)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags)
    head = b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)
    values = struct.pack("<6H", *[bits] * 3, *[kind] * 3)
    return head.ljust(200, b"\0") + values.ljust(20, b"\0") + bytes(12)


def test_a_tiff_of_samples_that_nothing_reads_says_which():
    with pytest.raises(ImageError, match=r"a TIFF of unsupported samples, 24 \+ 24 .*JPEG"):
        decode_content(tiff(24, 3))
    for end in range(220):
        with pytest.raises(ImageError):
            decode_content(tiff(32, 3)[:end])
