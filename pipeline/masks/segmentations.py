"""Masks of objects as COCO's format has them: outlines and run lengths, to pixels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import ContentError
from dilo.pipeline.images.decoding import MAX_PIXELS

#: The outlines of an object, each of shape (2 K,): x0, y0, x1, y1 and so on in pixels, float64.
Polygons = tuple[NDArray[np.float64], ...]
#: A mask by the lengths of its runs, as COCO's API takes it: "size" (height, width) and "counts".
Rle = Mapping[str, Any]

#: Values of an outline of three points; one of fewer encloses nothing.
TRIANGLE = 6
#: A run-length code in text has 5 bits a character, one that says whether more follow, and begins
#: at "0".
_BITS, _MORE, _SIGN, _ZERO = 5, 32, 16, ord("0")
#: Characters of the longest number: 35 bits.
_MAX_DIGITS = 7
#: COCO draws outlines on a grid so many times as fine.
_SCALE = 5


def parse_segmentation(value: object, where: str, shape: tuple[int, int] | None) -> Polygons | Rle:
    """Read the mask of an object, as JSON gives it.

    Parameters
    ----------
    value : object
        Of the annotation: "segmentation".
    where : str
        The annotation, for messages.
    shape : (int, int) or None
        Height and width that run lengths must have; None for any.

    Returns
    -------
    tuple of ndarray, or mapping
        Outlines; or run lengths.

    Raises
    ------
    ContentError
        If it is neither.
    """
    if isinstance(value, list):
        try:
            polygons = tuple(
                np.array(points, np.float64).reshape(-1, 2).ravel() for points in value
            )
        except (TypeError, ValueError, OverflowError):
            polygons = (np.array([np.nan]),)
        if all(np.isfinite(points).all() for points in polygons):
            return polygons
    elif isinstance(value, dict) and (size := _size_of(value)) is not None:
        counts = value.get("counts")
        whole = isinstance(counts, list) and all(type(c) is int and c >= 0 for c in counts)
        covers = isinstance(counts, str) or (whole and sum(counts or ()) == size[0] * size[1])
        if covers and shape in (None, size):
            return value
    must = "of the image's size, " + str([*shape]) if shape else "of a size, [height, width]"
    raise ContentError(
        f"{where}: segmentation must be polygons x0, y0, x1, y1 ..., or run lengths {must}, "
        f"got {str(value)[:100]}"
    )


def _size_of(runs: Rle) -> tuple[int, int] | None:
    """Read height and width of run lengths; None if they are those of no image."""
    size = runs.get("size")
    if not isinstance(size, list) or len(size) != 2 or any(type(side) is not int for side in size):
        return None
    height, width = size
    return (height, width) if min(size) > 0 and height * width <= MAX_PIXELS else None


def segmentation_mask(segmentation: Polygons | Rle, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Paint the mask of an object, as COCO's own API does.

    Parameters
    ----------
    segmentation : tuple of ndarray, or mapping
        As `parse_segmentation` gives it.
    shape : (int, int)
        Height and width of the image; run lengths have their own.

    Returns
    -------
    ndarray of shape (H, W), bool
        What the object covers: with several outlines, what any of them encloses.

    Raises
    ------
    ContentError
        If outlines lie far from the image, or run lengths are none.
    """
    if not isinstance(segmentation, tuple):
        height, width = segmentation["size"]
        return _painted_runs(run_lengths(segmentation["counts"]), height, width)
    mask = np.zeros(shape, np.bool_, order="F")
    for points in segmentation:
        if len(points) >= TRIANGLE:
            mask |= _polygon_mask(points, *shape)
    return mask


def run_lengths(counts: str | bytes | list[int]) -> NDArray[np.int64]:
    """Read the lengths of runs, which COCO packs into text.

    Parameters
    ----------
    counts : str, bytes or list of int
        Packed, or as they are.

    Returns
    -------
    ndarray of shape (K,), int64
        Pixels of each run, column by column: outside, inside, outside and so on.

    Raises
    ------
    ContentError
        If the text is not of that kind.

    References
    ----------
    .. [1] COCO's API, maskApi.c: `rleFrString`. A number has its lowest bits first; from the
       fourth on it is the difference to the run before the last.

    Examples
    --------
    >>> run_lengths("52203").tolist()
    [5, 2, 2, 2, 5]
    """
    if isinstance(counts, list):
        return np.array(counts, np.int64)
    text = counts.encode("utf-8", "surrogatepass") if isinstance(counts, str) else counts
    digits = np.frombuffer(text, np.uint8).astype(np.int64) - _ZERO
    last = np.flatnonzero((digits & _MORE) == 0)
    first = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    if (
        len(digits) == 0
        or digits.min() < 0
        or digits.max() >= 2 * _MORE
        or len(last) == 0
        or last[-1] != len(digits) - 1
        or (last - first).max() >= _MAX_DIGITS
    ):
        raise ContentError(f"run lengths must be packed as COCO's are, got {str(counts)[:100]!r}")
    place = _BITS * (np.arange(len(digits)) - np.repeat(first, last - first + 1))
    numbers = np.add.reduceat((digits & (_MORE - 1)) << place, first)
    negative = (digits[last] & _SIGN) != 0
    numbers -= np.where(negative, np.int64(1) << (place[last] + _BITS), 0)
    # Of the same side, each is a difference to the one before; the first of all is none's.
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def _painted_runs(lengths: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    """Paint runs, of which every second one lies inside."""
    if lengths.min(initial=0) < 0 or lengths.max(initial=0) > MAX_PIXELS:
        raise ContentError("run lengths must be from 0 to those of an image, got others")
    if (total := int(lengths.sum())) != height * width:
        raise ContentError(
            f"run lengths of {width} x {height} px must add up to {height * width}, got {total}"
        )
    inside = np.arange(len(lengths)) % 2 == 1
    mask: NDArray[np.bool_] = np.repeat(inside, lengths).reshape(width, height).T
    return mask


def _polygon_mask(points: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Paint what an outline encloses, to the pixel as `rleFrPoly` of COCO's maskApi.c does."""
    reach = 2 * max(height, width)
    if np.abs(points).max() > reach:
        raise ContentError(
            f"polygons must lie in their image of {width} x {height} px or near it, got a corner "
            f"at {points[np.abs(points).argmax()]:g}"
        )
    corners = np.trunc(_SCALE * points.reshape(-1, 2) + 0.5).astype(np.int64)
    starts, ends = corners, np.roll(corners, -1, axis=0)
    along = [_line(start, end) for start, end in zip(starts, ends, strict=True)]
    x, y = np.concatenate(along).T
    # Where the outline goes from one column of the fine grid to the next, the column below counts.
    moved = np.flatnonzero(x[1:] != x[:-1])
    before, after = x[moved], x[moved + 1]
    column = (np.where(after < before, after, after - 1) + 0.5) / _SCALE - 0.5
    row = (np.minimum(y[moved], y[moved + 1]) + 0.5) / _SCALE - 0.5
    is_pixel = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    rows = np.ceil(np.clip(row[is_pixel], 0, height)).astype(np.int64)
    crossings = column[is_pixel].astype(np.int64) * height + rows
    # Each crossing turns what follows it, column by column, inside out.
    turns = np.bincount(crossings, minlength=height * width + 1)[: height * width]
    mask: NDArray[np.bool_] = (np.cumsum(turns) % 2 == 1).reshape(width, height).T
    return mask


def _line(start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """List the points of a line on the grid, both ends among them: (K, 2), one a step."""
    across, down = np.abs(end - start)
    steps = max(across, down)
    major = 0 if across >= down else 1
    low, high = (start, end) if start[major] <= end[major] else (end, start)
    points = np.empty((steps + 1, 2), np.int64)
    offsets = np.arange(steps + 1)
    slope = (high[1 - major] - low[1 - major]) / steps if steps else 0.0
    points[:, major] = low[major] + offsets
    points[:, 1 - major] = np.trunc(low[1 - major] + slope * offsets + 0.5)
    return points if low is start else points[::-1]
