"""Decoding: pixels for whatever sound image a folder holds, a reason for everything else."""

import errno
import io
import os
import pickle
import resource
import socket
import struct
import subprocess

import numpy as np
import pytest
from PIL import Image
from support.odd_files import claiming_jpeg, claiming_png

from dilo.pipeline.errors import ImageError
from dilo.pipeline.images import decode, decode_reduced, decoding, read_file
from dilo.pipeline.images.decoding import MAX_PIXELS

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOUR = np.stack([RAMP, RAMP.T, np.full_like(RAMP, 90)], axis=2)


def test_a_gray_image_has_three_equal_channels(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "x.png")
    assert np.array_equal(decode(tmp_path / "x.png"), np.stack([RAMP] * 3, axis=2))


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / "x.png")
    assert np.array_equal(decode(tmp_path / "x.png")[:, :, 0], RAMP)


def test_float_samples_are_scaled(tmp_path):
    Image.fromarray(RAMP.astype(np.float32) / 255).save(tmp_path / "x.tif")
    assert np.array_equal(decode(tmp_path / "x.tif")[:, :, 0], RAMP)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "LA", "1"])
def test_every_mode_decodes_to_rgb(tmp_path, mode):
    image = Image.fromarray(COLOUR)
    image = image.convert("L").convert(mode) if mode == "LA" else image.convert(mode)
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    image.save(path)
    pixels = decode(path)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    if mode in ("RGB", "RGBA"):
        assert np.array_equal(pixels, COLOUR)


def test_alpha_and_transparent_palettes_are_dropped_without_a_word(tmp_path):
    image = Image.fromarray(COLOUR).quantize(8)
    image.info["transparency"] = bytes(range(8))
    image.save(tmp_path / "x.png")
    assert np.array_equal(
        decode(tmp_path / "x.png"), np.asarray(image.convert("RGBA").convert("RGB"))
    )


def test_a_png_named_jpeg_and_one_pixel_decode(tmp_path):
    Image.fromarray(COLOUR[:1, :1]).save(tmp_path / "x.JPEG", format="PNG")
    assert decode(tmp_path / "x.JPEG").tolist() == [[[0, 0, 90]]]


def test_orientation_tags_are_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOUR[:4]).save(tmp_path / "x.jpg", exif=exif)
    assert decode(tmp_path / "x.jpg").shape == (4, 16, 3)


def broken_files(folder):
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "whole.jpg", quality=90)
    whole = (folder / "whole.jpg").read_bytes()
    middle = len(whole) // 2
    garbage = np.random.default_rng(1).integers(0, 256, 400, dtype=np.uint8).tobytes()
    yield "truncated", whole[:middle]
    yield "wrong bytes in the scan", whole[:middle] + garbage + whole[middle + 400 :]
    yield "not an image", b"<html>404</html>"
    yield "empty", b""


@pytest.mark.parametrize("fault", range(4))
def test_a_broken_image_is_an_error_with_a_reason(tmp_path, fault):
    name, content = list(broken_files(tmp_path))[fault]
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(ImageError) as caught:
        decode(tmp_path / "x.jpg")
    assert str(caught.value), name
    assert str(tmp_path) not in str(caught.value)  # a shard's bytes must not tell where it was made


def test_wrong_bytes_are_caught_wherever_they_fall(tmp_path):
    rng = np.random.default_rng(2)
    Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(tmp_path / "x.jpg")
    whole = (tmp_path / "x.jpg").read_bytes()
    missed = 0
    for _ in range(50):
        start = int(rng.integers(700, len(whole) - 500))
        garbage = rng.integers(0, 256, 400, dtype=np.uint8).tobytes()
        (tmp_path / "x.jpg").write_bytes(whole[:start] + garbage + whole[start + 400 :])
        try:
            decode(tmp_path / "x.jpg")
            missed += 1
        except ImageError:
            pass
    assert missed <= 2  # random bytes can be a valid scan, but seldom are


def test_a_sound_jpeg_has_the_pixels_that_pillow_reads(tmp_path):
    for mode in ("RGB", "L", "CMYK"):
        for subsampling in (0, 2):
            path = tmp_path / f"{mode}{subsampling}.jpg"
            image = Image.fromarray(np.tile(COLOUR, (4, 5, 1))).convert(mode)
            image.save(path, subsampling=subsampling, progressive=subsampling == 2)
            with Image.open(path) as expected:
                assert np.array_equal(decode(path), np.asarray(expected.convert("RGB")))


def test_what_is_no_file_is_refused_at_once_and_by_its_errno(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    monkeypatch.setattr(decoding.time, "sleep", lambda pause: pytest.fail("tried again"))
    monkeypatch.chdir(tmp_path)  # an address has at most 108 bytes
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket.jpg")
        for name, message, code in (
            ("gone.jpg", "No such file or directory", errno.ENOENT),
            ("dangling.jpg", "No such file or directory", errno.ENOENT),
            ("loop.jpg", "Too many levels of symbolic links", errno.ELOOP),
            ("folder.jpg", "Is a directory", errno.EISDIR),
            ("socket.jpg", "No such device or address", errno.ENXIO),
            ("pipe.jpg", "not a regular file but a pipe or a device", None),
            ("zero.jpg", "not a regular file but a pipe or a device", None),
            ("nul\0.jpg", "embedded null byte", None),
        ):
            with pytest.raises(ImageError) as caught:
                decode(name)
            assert (str(caught.value), caught.value.errno) == (message, code), name


def test_a_broken_picture_has_no_errno_and_an_error_keeps_it_across_processes(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"<html>404</html>")
    with pytest.raises(ImageError, match="not an image") as caught:
        decode(tmp_path / "x.jpg")
    assert caught.value.errno is None
    copy = pickle.loads(pickle.dumps(ImageError("gone", errno.ENOENT)))
    assert (str(copy), copy.errno) == ("gone", errno.ENOENT)


class Disk:
    """`os.open`, failing a few times with one error."""

    def __init__(self, monkeypatch, code, times):
        self.open, self.code, self.left, self.pauses = os.open, code, times, []
        monkeypatch.setattr(decoding.os, "open", self)
        monkeypatch.setattr(decoding.time, "sleep", self.pauses.append)

    def __call__(self, path, flags):
        if self.left:
            self.left -= 1
            raise OSError(self.code, os.strerror(self.code), path)
        return self.open(path, flags)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_an_error_that_may_pass_is_given_two_more_tries(tmp_path, monkeypatch, code):
    Image.fromarray(COLOUR).save(tmp_path / "x.png")
    disk = Disk(monkeypatch, code, 2)
    assert np.array_equal(decode(tmp_path / "x.png"), COLOUR)
    assert disk.pauses == list(decoding.RETRY_DELAYS)
    disk = Disk(monkeypatch, code, 3)
    with pytest.raises(ImageError) as caught:
        decode(tmp_path / "x.png")
    assert (str(caught.value), caught.value.errno) == (os.strerror(code), code)
    assert len(disk.pauses) == 2


@pytest.mark.parametrize(
    "code", [errno.ENOENT, errno.EACCES, errno.ELOOP, errno.EISDIR, errno.EMFILE]
)
def test_an_error_that_stays_is_not_tried_again(tmp_path, monkeypatch, code):
    disk = Disk(monkeypatch, code, 1)
    with pytest.raises(ImageError) as caught:
        decode(tmp_path / "x.png")
    assert (caught.value.errno, disk.pauses) == (code, [])


def claiming(kind):
    """Make a small file that claims to be huge."""
    if kind == "png":
        return claiming_png(60_000, 60_000)
    if kind == "jpeg":
        return claiming_jpeg(65_500, 65_500)
    if kind == "cmyk":
        return claiming_jpeg(65_500, 65_500, components=4)
    if kind == "ppm":
        return b"P6 60000 60000 255\n" + bytes(99)
    buffer = io.BytesIO()
    Image.new("P", (1, 1)).save(buffer, kind)
    small = buffer.getvalue()
    if kind == "gif":
        huge = struct.pack("<HH", 65_535, 65_535)
        return small[:6] + huge + small[10:].replace(struct.pack("<HH", 1, 1), huge)
    return small[:18] + struct.pack("<ii", 60_000, 60_000) + small[26:]


@pytest.mark.parametrize("side", [None, 256])
@pytest.mark.parametrize("kind", ["png", "jpeg", "cmyk", "ppm", "gif", "bmp"])
def test_a_small_file_that_claims_to_be_huge_is_refused_without_its_memory(tmp_path, kind, side):
    (tmp_path / "x.jpg").write_bytes(claiming(kind))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match=rf"at most {MAX_PIXELS} pixels, got 6\d+ x 6\d+: make"):
        decode_reduced(read_file(tmp_path / "x.jpg"), side) if side else decode(tmp_path / "x.jpg")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_the_bound_on_pixels_is_ours_alone_and_pillows_is_left_as_it_is(tmp_path, monkeypatch):
    Image.fromarray(COLOUR).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses twice as many
    assert decode(tmp_path / "x.png").shape == (16, 16, 3)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(decoding, "MAX_PIXELS", 16 * 16)
    decode(tmp_path / "x.png")
    monkeypatch.setattr(decoding, "MAX_PIXELS", 16 * 16 - 1)
    with pytest.raises(ImageError, match="at most 255 pixels, got 16 x 16: make it smaller"):
        decode(tmp_path / "x.png")


def test_a_file_larger_than_any_image_is_not_read(tmp_path):
    with (tmp_path / "x.tif").open("wb") as file:
        file.truncate(decoding.MAX_BYTES + 1)  # takes no space
    with pytest.raises(ImageError, match=r"at most 2147483648 bytes, got 2147483649"):
        decode(tmp_path / "x.tif")


@pytest.mark.parametrize(
    ("side", "factor"), [(1, 8), (40, 4), (60, 4), (61, 2), (120, 2), (122, 1), (9999, 1)]
)
def test_a_jpeg_is_reduced_as_far_as_its_short_side_allows(tmp_path, side, factor):
    rows, columns = np.mgrid[:243, :321]
    smooth = np.stack([rows, columns % 256, (rows + columns) // 3], axis=2).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "x.jpg", quality=98)
    pixels, whole = decode_reduced(read_file(tmp_path / "x.jpg"), side)
    assert whole == (243, 321)
    assert pixels.shape == (-(-243 // factor), -(-321 // factor), 3)
    cut = decode(tmp_path / "x.jpg")[: 240 // factor * factor, : 240 // factor * factor]
    mean = cut.reshape(len(cut) // factor, factor, -1, factor, 3).mean(axis=(1, 3))
    assert np.abs(pixels[: len(mean), : len(mean)] - mean).max() < 8


def test_what_is_no_jpeg_is_read_whole(tmp_path):
    Image.fromarray(np.zeros((90, 100, 3), np.uint8)).save(tmp_path / "x.png")
    pixels, whole = decode_reduced(read_file(tmp_path / "x.png"), 10)
    assert pixels.shape == (90, 100, 3)
    assert whole == (90, 100)


def test_wrong_bytes_are_found_in_a_reduced_jpeg_too(tmp_path):
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (400, 400, 3), dtype=np.uint8)).save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    content[20000:20400] = rng.bytes(400)
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(ImageError):
        decode_reduced(read_file(tmp_path / "x.jpg"), 50)
    (tmp_path / "y.jpg").write_bytes(buffer.getvalue()[:20000])
    with pytest.raises(ImageError):
        decode_reduced(read_file(tmp_path / "y.jpg"), 50)


def test_what_would_start_another_program_is_no_image(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **more: pytest.fail("started"))
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "x.jpg").write_bytes(script)
    with pytest.raises(ImageError, match="not an image"):
        decode(tmp_path / "x.jpg")
