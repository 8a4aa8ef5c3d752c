"""A folder of the odd and the broken: what a million files from everywhere hold, in small."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from support.photographs import photograph

#: Sound, whatever they look like: name to height and width.
SOUND = {
    b"plain.jpg": (60, 80),
    b"cmyk.jpg": (60, 80),
    b"gray.jpg": (60, 80),
    b"progressive.jpg": (60, 80),
    b"png named.JPEG": (60, 80),
    b"rotated by exif.jpg": (60, 80),
    b"sixteen bits.png": (60, 80),
    b"sixteen bits colour.ppm": (60, 80),
    b"float.tif": (60, 80),
    b"palette.gif": (60, 80),
    b"transparent.png": (60, 80),
    b"one bit.png": (60, 80),
    b"one pixel.png": (1, 1),
    b"long.png": (2, 900),
    b"linked.jpg": (60, 80),
    b"folder.jpg/in a folder named like an image.jpg": (60, 80),
    b'it\'s a "quote" `$(echo)`;*.jpg': (60, 80),
    b"two\nlines\tand a tab.jpg": (60, 80),
    b"back\\slash.jpg": (60, 80),
    "\N{SNOWMAN} né 日本語 \N{PILE OF POO}.jpg".encode(): (60, 80),
    b"latin-1 \xe9t\xe9.jpg": (60, 80),
    b"\xff\xfe/\x80.jpg": (60, 80),
    b"-rf.jpg": (60, 80),
    b" .jpg": (60, 80),
}
#: Broken: name to what the reason must say.
BROKEN = {
    b"truncated.jpg": "Premature end of JPEG file",
    b"truncated.png": "truncated",
    b"garbage in the scan.jpg": "Corrupt JPEG data",
    b"garbage in the data.png": "unrecognized data stream",
    b"no image.jpg": "not an image",
    b"empty.jpg": "not an image",
    b"zeros.png": "not an image",
    b"dangling.jpg": "No such file or directory",
    b"dangling \xff\n.jpg": "No such file or directory",
    b"loop.jpg": "Too many levels of symbolic links",
    b"bomb.png": "at most 268435456 pixels, got 60000 x 60000",
    b"bomb.jpg": "at most 268435456 pixels, got 65500 x 65500",
}


def odd_folder(root: Path) -> Path:
    """Write all of them, and what is no image at all: pipes, other files, hidden ones."""
    pixels = photograph(3)
    plain = _saved(pixels, "JPEG", quality=90)
    for name in SOUND:
        _write(root, name, plain)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = (pixels.astype(np.uint16) * 257).astype(">u2")
    for name, content in {
        b"cmyk.jpg": _saved(image.convert("CMYK"), "JPEG"),
        b"gray.jpg": _saved(image.convert("L"), "JPEG"),
        b"progressive.jpg": _saved(image, "JPEG", progressive=True),
        b"png named.JPEG": _saved(image, "PNG"),
        b"rotated by exif.jpg": _saved(image, "JPEG", exif=exif),
        b"sixteen bits.png": _saved(deep[:, :, 0].astype(np.uint16), "PNG"),
        b"sixteen bits colour.ppm": b"P6 80 60 65535\n" + deep.tobytes(),
        b"float.tif": _saved(pixels[:, :, 0].astype(np.float32) / 255, "TIFF"),
        b"palette.gif": _saved(image.quantize(16), "GIF"),
        b"transparent.png": _saved(image.convert("RGBA"), "PNG"),
        b"one bit.png": _saved(image.convert("1"), "PNG"),
        b"one pixel.png": _saved(pixels[:1, :1], "PNG"),
        b"long.png": _saved(np.resize(pixels, (2, 900, 3)), "PNG"),
    }.items():
        _write(root, name, content)
    (root / "linked.jpg").unlink()
    (root / "linked.jpg").symlink_to("plain.jpg")
    _write_broken(root, plain, _saved(np.random.default_rng(0).bytes(14_400), "PNG"))
    _write(root, b"notes.txt", b"notes")
    _write(root, b"._plain.jpg", b"\0\5\x16\7")
    os.mkfifo(root / "pipe.jpg")
    return root


def _write_broken(root: Path, jpeg: bytes, png: bytes) -> None:
    """Write those that fail."""
    garbage = np.random.default_rng(1).bytes(300)
    for name, content in {
        b"truncated.jpg": jpeg[: len(jpeg) * 2 // 3],
        b"truncated.png": png[: len(png) * 2 // 3],
        b"garbage in the scan.jpg": jpeg[:-600] + garbage + jpeg[-300:],
        b"garbage in the data.png": png[:-600] + garbage + png[-300:],
        b"no image.jpg": b"<html>404</html>",
        b"empty.jpg": b"",
        b"zeros.png": bytes(5000),
        b"bomb.png": claiming_png(60_000, 60_000),
        b"bomb.jpg": claiming_jpeg(65_500, 65_500),
    }.items():
        _write(root, name, content)
    for name in (b"dangling.jpg", b"dangling \xff\n.jpg"):
        (root / os.fsdecode(name)).symlink_to("nowhere")
    (root / "loop.jpg").symlink_to("loop.jpg")


def _write(root: Path, name: bytes, content: bytes) -> None:
    """Write a file of any name."""
    path = root / os.fsdecode(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _saved(image: Any, kind: str, **options: Any) -> bytes:
    """Encode pixels, an image, or 14,400 bytes of noise."""
    if isinstance(image, bytes):
        image = np.frombuffer(image, np.uint8).reshape(60, 80, 3)
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def claiming_png(width: int, height: int) -> bytes:
    """Write a PNG of this size with one line of pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    line = zlib.compress(bytes(3 * width + 1))
    parts = chunk(b"IHDR", header), chunk(b"IDAT", line), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def claiming_jpeg(width: int, height: int, *, components: int = 3) -> bytes:
    """Write a JPEG's headers for this size, without a scan."""
    described = b"".join(bytes((i + 1, 0x11, 0)) for i in range(components))
    frame = struct.pack(">BHHB", 8, height, width, components) + described
    scan = bytes((components,)) + b"".join(bytes((i + 1, 0)) for i in range(components))
    return b"".join(
        (
            b"\xff\xd8",
            b"\xff\xdb" + struct.pack(">HB", 67, 0) + b"\1" * 64,
            b"\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame,
            b"\xff\xda" + struct.pack(">H", 5 + len(scan)) + scan + b"\0\x3f\0",
            b"\0" * 64 + b"\xff\xd9",
        )
    )
