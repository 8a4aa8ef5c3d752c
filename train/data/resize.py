"""Pillow's antialiased bilinear filter, and its Gaussian blur of a mask, compiled: bit for bit."""

import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled

#: Weights are whole numbers of 1 / 2**17, and levels between the two passes of 1 / 2**5: so what
#: is left of rounding is the last one's half a level, and 255 * 2**22 still fits 32 bits.
WEIGHT_BITS: Final = 17
LEVEL_BITS: Final = 5
#: Weighted lines that one loop adds up; at a scale up to 1.5, a pixel never takes more.
TOGETHER: Final = 4

Level = TypeVar("Level", np.uint8, np.uint16)
Range = tuple[float, float]


def resize(
    pixels: NDArray[np.uint8],
    size: int,
    *,
    rows: Range | None = None,
    columns: Range | None = None,
    flip: bool = False,
) -> NDArray[np.uint8]:
    """Resize a box of an image to a square.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, C), uint8
        Any number of channels. What lies around the box reaches into it as far as the filter
        does: cut it off for it not to.
    size : int
        Side of the square, in pixels.
    rows, columns : (float, float), optional
        Where the box begins and ends, in pixels; all of the image unless given.
    flip : bool, default False
        Whether to mirror left to right.

    Returns
    -------
    ndarray of shape (C, size, size), uint8
        Channel by channel. Within a gray level of Pillow's ``resize(..., BILINEAR, box)``:
        the same triangles, as wide as a pixel of the square where that shrinks, but down the
        columns first, then along the rows, where Pillow's order depends on its version.

    Notes
    -----
    Both passes mix whole rows, which lie together in memory; between them, the image is
    transposed. Pillow rounds to 8 bits there, and so is up to a level from the exact mean; this
    is half a level from it.
    """
    height, width, channels = pixels.shape
    lines = pixels.reshape(height, width * channels)
    # Two types of array are compiled for: lines end to end, and lines with gaps, those of a cut.
    if lines.strides[1] != 1 or not lines.flags.writeable:
        lines = lines.copy()
    between = np.empty((size, width * channels), np.uint16)
    _mix_finer(lines, between, *_ends(rows, height), False)
    turned = transposed(between).reshape(width, channels * size)
    result = np.empty((size, channels * size), np.uint8)
    _mix_back(turned, result, *_ends(columns, width), flip)
    return transposed(result).reshape(channels, size, size)


def transposed(lines: NDArray[Level]) -> NDArray[Level]:
    """Turn columns into rows, in a fraction of numpy's time.

    Parameters
    ----------
    lines : ndarray of shape (N, L), uint8 or uint16
        Rows.

    Returns
    -------
    ndarray of shape (L, N), uint8 or uint16
        Its columns, each in one piece of memory.
    """
    return np.asarray(cv2.transpose(lines), lines.dtype)


def _ends(part: Range | None, length: int) -> Range:
    """Say where a part begins and ends, in numbers of one type, for the compiler."""
    start, end = part or (0, length)
    return float(start), float(end)


@compiled
def _weigh(weights: NDArray[np.int32], center: float, reach: float, count: int) -> tuple[int, int]:
    """Weigh the lines that a new one is mixed of, the others 0; give the first and their number."""
    first = max(0, int(center - reach + 0.5))
    taps = min(count, int(center + reach + 0.5)) - first
    slope, whole = 1.0 / reach, 0.0
    for tap in range(taps):
        whole += max(0.0, 1.0 - abs(first + tap + 0.5 - center) * slope)
    # Their sums are rounded, not they: so all of them make 1, and a flat image stays flat.
    unit, so_far, before = (1 << WEIGHT_BITS) / whole, 0.0, 0
    for tap in range(taps):
        so_far += max(0.0, 1.0 - abs(first + tap + 0.5 - center) * slope)
        rounded = int(so_far * unit + 0.5)
        weights[tap] = rounded - before
        before = rounded
    weights[taps:] = 0
    return first, taps


@compiled
def _four(lines: NDArray[Level], line: int, last: int) -> tuple[NDArray[Level], ...]:
    """Give four lines from one on; past the last, where the weights are 0, any will do."""
    return (
        lines[line],
        lines[min(line + 1, last)],
        lines[min(line + 2, last)],
        lines[min(line + 3, last)],
    )


def _mixer(shift: int) -> Callable[[NDArray[Any], NDArray[Any], float, float, bool], None]:
    """Compile a pass; that it divides by a constant keeps the compiler's sums in 32 bits."""
    half = 1 << (shift - 1)

    @compiled
    def mix(
        lines: NDArray[Level], out: NDArray[Level], start: float, end: float, flip: bool
    ) -> None:
        """Mix each line of one array of lines of another; in reverse order if flipped."""
        (count, length), size = lines.shape, len(out)
        scale = (end - start) / size
        reach = max(scale, 1.0)
        weights = np.zeros(2 * math.ceil(reach) + 2 + TOGETHER, np.int32)
        total = np.empty(length, np.int32)
        for place in range(size):
            first, taps = _weigh(weights, start + (place + 0.5) * scale, reach, count)
            line = out[size - 1 - place if flip else place]
            last = first + taps - 1
            if taps <= TOGETHER:
                a, b, c, d = _four(lines, first, last)
                p, q, r, s = weights[0], weights[1], weights[2], weights[3]
                for x in range(length):
                    line[x] = np.int32(a[x] * p + b[x] * q + c[x] * r + d[x] * s + half) >> shift
                continue
            total[:] = half
            for tap in range(0, taps, TOGETHER):
                a, b, c, d = _four(lines, first + tap, last)
                p, q, r, s = weights[tap], weights[tap + 1], weights[tap + 2], weights[tap + 3]
                for x in range(length):
                    total[x] += a[x] * p + b[x] * q + c[x] * r + d[x] * s
            for x in range(length):
                line[x] = total[x] >> shift

    return mix


#: From 8 bits to finer levels, and from these back to 8 bits.
_mix_finer, _mix_back = _mixer(WEIGHT_BITS - LEVEL_BITS), _mixer(WEIGHT_BITS + LEVEL_BITS)

#: Box blurs that stand for a Gaussian, along each side.
PASSES: Final = 3
#: Weights are whole numbers of 1 / 2**24.
BITS: Final = 24
HALF: Final = 1 << (BITS - 1)


def blur(mask: NDArray[np.uint8], sigmas: tuple[float, float]) -> NDArray[np.uint8]:
    """Blur a mask; in each of the box blurs, the edge pixels go on beyond the edge.

    Parameters
    ----------
    mask : ndarray of shape (H, W), uint8
        Any size.
    sigmas : (float, float)
        Across the columns, and down the rows, in pixels; 0 leaves that side alone.

    Returns
    -------
    ndarray of shape (H, W), uint8
        ``GaussianBlur(sigmas)`` of Pillow, in a third of its time.

    References
    ----------
    .. [1] P. Gwosdek, S. Grewenig, A. Bruhn and J. Weickert, "Theoretical Foundations of
       Gaussian Convolution by Extended Box Filtering", SSVM 2011.
    """
    for sigma in sigmas:  # each turns it over once
        lines = transposed(mask)
        mask = _boxed(lines, *_box(sigma)) if sigma > 0 else lines
    return mask


def _box(sigma: float) -> tuple[int, int, int]:
    """Give the whole radius of each box, its pixels' weight, and that of the two beyond it."""
    # In single precision, as Pillow has it: a weight that differs in its last bit shows.
    variance = np.float32(sigma) * np.float32(sigma) / np.float32(PASSES)
    length = np.float32(np.sqrt(12.0 * float(variance) + 1.0))
    whole = np.float32(np.floor((float(length) - 1.0) / 2.0))
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    part /= 6 * (variance - (whole + 1) * (whole + 1))
    radius = whole + part
    inside = int(np.float32(1 << BITS) / (radius * 2 + 1))
    reach = int(radius)
    return reach, inside, ((1 << BITS) - (2 * reach + 1) * inside) // 2


@compiled
def _boxed(lines: NDArray[np.uint8], reach: int, inside: int, beyond: int) -> NDArray[np.uint8]:
    """Box-blur (N, L) along its first axis, `PASSES` times."""
    count, length = lines.shape
    last = count - 1
    for _ in range(PASSES):
        total = np.zeros(length, np.uint32)
        for place in range(-reach, reach + 1):
            line = lines[min(max(place, 0), last)]
            for x in range(length):
                total[x] += line[x]
        result = np.empty_like(lines)
        for place in range(count):
            before, begin = lines[max(place - reach - 1, 0)], lines[max(place - reach, 0)]
            after, out = lines[min(place + reach + 1, last)], result[place]
            for x in range(length):
                edges = np.uint32(before[x]) + after[x]
                out[x] = np.uint32(total[x] * inside + edges * beyond + HALF) >> BITS
                total[x] += np.uint32(after[x]) - begin[x]
        lines = result
    return lines
