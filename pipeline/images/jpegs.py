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
_MARKERS_IN_SCAN: Final = {0x00, *range(0xD0, 0xD8)}
#: Bytes that the decoder may hold unread at the end of a scan.
_READ_AHEAD: Final = 16
#: How the data of a scan has a byte 255.
_ESCAPED: Final = b"\xff\0"
_STRAY: Final = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


def plain_jpeg_shape(content: bytes) -> tuple[int, int] | None:
    """Recognize a JPEG of one or three components, which this module reads.

    Returns height and width; None for a rarer kind of JPEG, which Pillow reads, or what is none.
    """
    if not content.startswith(_START):
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    return (height, width) if space in ("Gray", "YCbCr", "RGB") else None


def decode_jpeg(content: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """Decode a JPEG, not reduced below a size; refuse one that is truncated or has wrong bytes."""
    warning = ""
    for _ in range(3):  # an oddity of the header may hide one behind the scan
        try:
            pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
                content, "RGB", strict=True, min_height=height, min_width=width
            )
        except ValueError as error:
            warning = str(error)
            clean = remove_oddities(content, warning)
            if clean is None:
                raise
            content = clean
        else:
            return pixels
    raise ValueError(warning)


def remove_oddities(content: bytes, warning: str) -> bytes | None:
    """Take out of a JPEG what a strict decoder remarks on and what no pixel depends on.

    That is: stray bytes between the segments before the first scan, the numbers of a sequential
    scan, and stray bytes after the last scan. These last are told from a scan with wrong bytes,
    which may leave some of its data over too: an encoder fills the last byte of its data with
    ones, and wrong bytes seldom lead to where it did so; and in data that is left over, a byte
    255 is escaped.

    Returns a file of the same pixels, without its oddities; None where there are none of these.
    """
    try:
        header, data_start = _cleaned_header(content)
        clean = header + content[data_start:]
        if (stray := _STRAY.search(warning)) is not None:
            end = _end_of_scans(clean, len(header))
            data = _end_of_data(clean[:end], len(header), end - int(stray[1]))
            return None if data is None or _ESCAPED in clean[len(data) : end] else data + _END
    except IndexError:  # the file ends before its image does
        return None
    return clean if clean != content else None


def _cleaned_header(content: bytes) -> tuple[bytes, int]:
    """Copy the segments up to the first scan without their oddities; also return where they end."""
    parts, position, frame = [_START], 2, 0
    while True:
        position = _next_marker(content, position)
        while content[position + 1] in (0x00, 0xFF):
            position = _next_marker(content, position + 1)
        marker, length = content[position + 1], int.from_bytes(content[position + 2 : position + 4])
        segment = bytearray(content[position : position + 2 + length])
        position += 2 + length
        if marker in _FRAMES:
            frame = marker
        if marker == _SCAN and frame in _SEQUENTIAL:
            segment[-3:] = b"\0\x3f\0"
        parts.append(bytes(segment))
        if marker == _SCAN:
            return b"".join(parts), position


def _end_of_scans(content: bytes, position: int) -> int:
    """Find the end marker, from the beginning of a scan's data on."""
    while True:
        position = _next_marker(content, position)
        next_position = position + 1
        while content[next_position] == 0xFF:  # a marker may be filled with them
            next_position += 1
        marker = content[next_position]
        if marker == _END[1]:
            return position
        if marker not in _MARKERS_IN_SCAN:
            next_position += int.from_bytes(content[next_position + 1 : next_position + 3])
        position = next_position + 1


def _next_marker(content: bytes, start: int) -> int:
    """Find the next byte that may begin a marker."""
    position = content.find(b"\xff", start)
    if position < 0:
        raise IndexError("no marker")
    return position


def _end_of_data(data: bytes, start: int, end: int) -> bytes | None:
    """Cut scans after their last byte, near an end, if they end as an encoder ends them."""
    lengths = range(end, max(start, end - _READ_AHEAD), -1)  # the decoder reads ahead
    pixels = None
    for length in lengths:
        shorter_pixels = _decode_strictly(data[:length])
        if shorter_pixels is not None:
            pixels, data = shorter_pixels, data[:length]
        elif pixels is not None:
            break
    if pixels is None:
        return None
    for bit in range(8):
        flipped_pixels = _decode_strictly(data[:-1] + bytes([data[-1] ^ (1 << bit)]))
        if flipped_pixels is None or not np.array_equal(flipped_pixels, pixels):
            return data  # this bit is of the data, and so are those above
        if not data[-1] >> bit & 1:
            return None
    return data


def _decode_strictly(data: bytes) -> NDArray[np.uint8] | None:
    """Decode a file without its end marker; None where the decoder remarks on anything."""
    try:
        return np.asarray(simplejpeg.decode_jpeg(data + _END, "RGB", strict=True))
    except ValueError:
        return None
