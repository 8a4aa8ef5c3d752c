"""Windows of an image: the largest without an object."""

import math

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled
from dilo.pipeline.store.backgroundrows import Box


def largest_windows(
    mask: NDArray[np.uint8],
    shape: tuple[int, int],
    *,
    response: int,
    min_side: int,
    count: int,
    max_aspect: float = math.inf,
) -> list[Box]:
    """Find the largest boxes of whole pixels that touch only cells without response.

    Parameters
    ----------
    mask : ndarray of shape (S, S), uint8
        Saliency, 0 to 255, of the image squashed to a square. Its cells are the image's,
        H/S by W/S pixels each.
    shape : (int, int)
        The image's height H and width W, in pixels.
    response : int
        Cells with more than this, 0 to 255, are kept out.
    min_side : int
        Length of the shortest side allowed, in pixels, from 1.
    count : int
        How many boxes at most, from 1: the largest, then the largest that touches none of
        its cells, and so on.
    max_aspect : float, default inf
        How many times as long as the shorter side the longer may be, from 1. What is longer
        is cut off at the bottom or at the right, so that no image loses its only window.

    Returns
    -------
    list of (int, int, int, int)
        Boxes in the order they were found, so never growing in area; fewer than `count`, or
        none, where no more fit. Of boxes of one area comes first the topmost, then the
        leftmost, then the widest.

    Raises
    ------
    ValueError
        If the mask is no square of uint8, or a number is out of its range.

    Notes
    -----
    The search is exact. A rectangle of cells holds whatever a smaller one within holds, so
    the best box lies in a rectangle that cannot grow. Each of those ends at some row, and
    there it is one of the rectangles that a stack finds in the histogram of how far the
    columns reach up without response: O(S**2) for a box.

    Examples
    --------
    >>> mask = np.zeros((4, 4), np.uint8)
    >>> mask[1, 3] = 200
    >>> largest_windows(mask, (40, 80), response=10, min_side=8, count=2)
    [(0, 0, 40, 60), (20, 60, 20, 20)]
    """
    if mask.ndim != 2 or mask.shape[0] != mask.shape[1] or mask.dtype != np.uint8:
        raise ValueError(f"mask must be a square of uint8, got {mask.dtype} {mask.shape}")
    if not 0 <= response <= 255:
        raise ValueError(f"response must be from 0 to 255, got {response}")
    if min_side < 1:
        raise ValueError(f"min_side must be at least 1 pixel, got {min_side}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if not max_aspect >= 1:
        raise ValueError(f"max_aspect must be at least 1, got {max_aspect}")
    free = mask <= response
    boxes: list[Box] = []
    while len(boxes) < count:
        box = _largest(free, *shape, min_side, float(max_aspect))
        if not box[2]:
            break
        boxes.append(box)
        _block(free, *shape, box)
    return boxes


@compiled
def _largest(
    free: NDArray[np.bool_], height: int, width: int, min_side: int, max_aspect: float
) -> Box:
    """Find the first of the largest boxes in free cells; of no height where none fits."""
    side = len(free)
    tops, bottoms = _edges(side, height)
    lefts, rights = _edges(side, width)
    reach = np.zeros(side + 1, np.int64)  # free cells up from a row; the last column ends all
    starts, reaches = np.empty(side + 1, np.int64), np.empty(side + 1, np.int64)
    best, best_area = (0, 0, 0, 0), 0
    for row in range(side):
        open_count = 0
        for column in range(side + 1):
            if column < side:
                reach[column] = reach[column] + 1 if free[row, column] else 0
            start = column
            while open_count > 0 and reaches[open_count - 1] > reach[column]:
                open_count -= 1
                start = starts[open_count]
                top, left = tops[row + 1 - reaches[open_count]], lefts[start]
                high, wide = bottoms[row + 1] - top, rights[column] - left
                if high < min_side or wide < min_side or high * wide < best_area:
                    continue
                # The longer side alone is cut, and not below the shorter.
                high, wide = (
                    int(min(float(high), max_aspect * wide)),
                    int(min(float(wide), max_aspect * high)),
                )
                box, area = (top, left, high, wide), high * wide
                if area > best_area or (area == best_area and box < best):
                    best, best_area = box, area
            if reach[column] > 0 and (open_count == 0 or reaches[open_count - 1] < reach[column]):
                starts[open_count], reaches[open_count] = start, reach[column]
                open_count += 1
    return best


@compiled
def _edges(side: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the first whole pixel after each edge of the cells, and the last one's end before."""
    before = np.arange(side + 1) * length // side
    after = -(-np.arange(side + 1) * length // side)
    return after, before


def _block(free: NDArray[np.bool_], height: int, width: int, box: Box) -> None:
    """Make the cells that a box touches no longer free, in place."""
    top, left, high, wide = box
    side = len(free)
    rows = slice(top * side // height, -(-(top + high) * side // height))
    columns = slice(left * side // width, -(-(left + wide) * side // width))
    free[rows, columns] = False
