"""JPEG files, decoded strictly; and those that are odd, and sound all the same."""

import re
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN: Final = 0xDA
#: Sequential frames: of these the numbers of a scan say nothing, and some cameras set them wrongly.
_SEQUENTIAL: Final = {0xC0, 0xC1}
_FRAMES: Final = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Markers inside the data of a scan: a byte 255, and restarts.
_INSIDE: Final = {0x00, *range(0xD0, 0xD8)}
#: Bytes that the decoder may hold unread at the end of a scan.
_AHEAD: Final = 16
#: How the data of a scan has a byte 255.
_ESCAPED: Final = b"\xff\0"
_STRAY: Final = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


def plain_jpeg_shape(content: bytes) -> tuple[int, int] | None:
    """Tell a JPEG of one or three components, which this module reads, from all other files.

    Gives height and width; None for a rarer kind of JPEG, which Pillow reads, or what is none.
    """
    if not content.startswith(_START):
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    return (height, width) if space in ("Gray", "YCbCr", "RGB") else None


def decode_jpeg(content: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """Decode a JPEG, and refuse one that is truncated or has wrong bytes in its scan."""
    remark = ""
    for _ in range(3):  # an oddity of the header may hide one behind the scan
        try:
            pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
                content, "RGB", strict=True, min_height=height, min_width=width
            )
        except ValueError as error:
            remark = str(error)
            clean = without_oddities(content, remark)
            if clean is None:
                raise
            content = clean
        else:
            return pixels
    raise ValueError(remark)


def without_oddities(content: bytes, remark: str) -> bytes | None:
    """Take out of a JPEG what a strict decoder remarks on and what no pixel depends on.

    That is: stray bytes between the segments before the first scan, the numbers of a sequential
    scan, and stray bytes after the last scan. These last are told from a scan with wrong bytes,
    which may leave some of its data over too: an encoder fills the last byte of its data with
    ones, and wrong bytes seldom lead to where it did so; and in data that is left over, a byte
    255 is escaped.

    Gives a file of the same pixels, without its oddities; None where there are none of these.
    """
    try:
        header, scans = _clean_header(content)
        clean = header + content[scans:]
        if (stray := _STRAY.search(remark)) is not None:
            end = _end_of_scans(clean, len(header))
            data = _end_of_data(clean[:end], len(header), end - int(stray[1]))
            return None if data is None or _ESCAPED in clean[len(data) : end] else data + _END
    except IndexError:  # the file ends before its image does
        return None
    return clean if clean != content else None


def _clean_header(content: bytes) -> tuple[bytes, int]:
    """Copy the segments up to the first scan without their oddities, and say where they end."""
    parts, place, frame = [_START], 2, 0
    while True:
        place = _next(content, place)
        while content[place + 1] in (0x00, 0xFF):
            place = _next(content, place + 1)
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4])
        segment = bytearray(content[place : place + 2 + length])
        place += 2 + length
        if marker in _FRAMES:
            frame = marker
        if marker == _SCAN and frame in _SEQUENTIAL:
            segment[-3:] = b"\0\x3f\0"
        parts.append(bytes(segment))
        if marker == _SCAN:
            return b"".join(parts), place


def _end_of_scans(content: bytes, place: int) -> int:
    """Find the end marker, from the beginning of a scan's data on."""
    while True:
        place = _next(content, place)
        after = place + 1
        while content[after] == 0xFF:  # a marker may be filled with them
            after += 1
        marker = content[after]
        if marker == _END[1]:
            return place
        if marker not in _INSIDE:
            after += int.from_bytes(content[after + 1 : after + 3])
        place = after + 1


def _next(content: bytes, place: int) -> int:
    """Find the next byte that may begin a marker."""
    found = content.find(b"\xff", place)
    if found < 0:
        raise IndexError("no marker")
    return found


def _end_of_data(data: bytes, start: int, end: int) -> bytes | None:
    """Cut scans after their last byte, near an end, if they end as an encoder ends them."""
    lengths = range(end, max(start, end - _AHEAD), -1)  # the decoder reads ahead
    pixels = None
    for length in lengths:
        shorter = _strictly(data[:length])
        if shorter is not None:
            pixels, data = shorter, data[:length]
        elif pixels is not None:
            break
    if pixels is None:
        return None
    for bit in range(8):
        changed = _strictly(data[:-1] + bytes([data[-1] ^ (1 << bit)]))
        if changed is None or not np.array_equal(changed, pixels):
            return data  # this bit is of the data, and so are those above
        if not data[-1] >> bit & 1:
            return None
    return data


def _strictly(data: bytes) -> NDArray[np.uint8] | None:
    """Decode a file without its end marker; None where the decoder remarks on anything."""
    try:
        return np.asarray(simplejpeg.decode_jpeg(data + _END, "RGB", strict=True))
    except ValueError:
        return None
