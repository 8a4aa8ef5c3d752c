"""How far boxes overlap."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: No division by zero: no box that covers something has so small an area.
_TINY = 1e-12


def overlaps(boxes: NDArray[Any], others: NDArray[Any], *, last: int = 0) -> NDArray[np.float64]:
    """Divide what two boxes share by what they cover together.

    Parameters
    ----------
    boxes : ndarray of shape (N, 4), int64 or float64
        x0, y0, x1, y1 in pixels.
    others : ndarray of shape (M, 4), int64 or float64
        Those to compare each with.
    last : {0, 1}, default 0
        What the last column and row add to a side: 0 where x1 and y1 are edges, 1 where they are
        pixels that belong to the box, as PASCAL VOC has it.

    Returns
    -------
    ndarray of shape (N, M), float64
        Intersection over union; 0 of two boxes that cover nothing.

    Examples
    --------
    >>> one, other = np.array([[0, 0, 4, 4]]), np.array([[2, 0, 6, 4]])
    >>> [round(float(overlaps(one, other, last=last)[0, 0]), 3) for last in (0, 1)]
    [0.333, 0.429]
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.maximum(high - low + last, 0).prod(axis=2)
    area, other_area = ((each[:, 2:] - each[:, :2] + last).prod(axis=1) for each in (boxes, others))
    union = area[:, None] + other_area[None] - shared
    shares: NDArray[np.float64] = shared / np.maximum(union, _TINY)
    return shares
