"""Boxes of masks and of maps cut at a threshold.

A box is x0, y0, x1, y1: its first column and row, and its last, which belong to it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.int64]


def components(mask: NDArray[np.bool_]) -> tuple[Boxes, NDArray[np.int64]]:
    """Find what hangs together in a mask, by sides or corners.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        Whether a pixel belongs to an object.

    Returns
    -------
    ndarray of shape (N, 4), int64
        The box of each connected component; none for an empty mask.
    ndarray of shape (N,), int64
        Pixels of each.
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    foreground = stats[1:].astype(np.int64)  # the first is the background
    first, sides = foreground[:, :2], foreground[:, 2:4]
    return np.concatenate([first, first + sides - 1], axis=1), foreground[:, 4]


def largest_component(mask: NDArray[np.bool_]) -> Boxes:
    """Find the box of the largest connected component.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        Whether a pixel is kept.

    Returns
    -------
    ndarray of shape (1, 4) or (0, 4), int64
        The box of the one with the most pixels; none for an empty mask.
    """
    boxes, pixels = components(mask)
    return boxes[pixels.argmax() :][:1] if len(boxes) else boxes


def contour_boxes(mask: NDArray[np.bool_]) -> tuple[Boxes, int]:
    """Find the box of each contour, outer ones and those of holes, as the WSOL benchmark does.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        Where a map is above a threshold.

    Returns
    -------
    ndarray of shape (N, 4), int64
        Boxes whose last column and row lie one pixel beyond the contour, within the map: the
        release counts so, and its numbers are what one compares with. Without a contour,
        the one pixel in the corner.
    int
        Which of them is that of the contour around the largest area.

    References
    ----------
    .. [1] J. Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right",
       CVPR 2020: `compute_bboxes_from_scoremaps` of the released code.
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.zeros((1, 4), np.int64), 0
    # All contours at once: there are thousands in a map as grainy as a gradient.
    lengths = np.fromiter(map(len, contours), np.int64, len(contours))
    points = np.concatenate(contours).reshape(-1, 2).astype(np.int64)
    starts = lengths.cumsum() - lengths
    following = np.arange(1, len(points) + 1)
    following[starts + lengths - 1] = starts
    turns = points[:, 0] * points[following, 1] - points[following, 0] * points[:, 1]
    areas = np.abs(np.add.reduceat(turns, starts))  # twice the area, by the shoelace formula
    end = np.array(mask.shape[::-1]) - 1
    first = np.minimum.reduceat(points, starts)
    last = np.minimum(np.maximum.reduceat(points, starts) + 1, end)
    return np.concatenate([first, last], axis=1), int(areas.argmax())


def scaled(boxes: NDArray[np.float64], width: float, height: float, size: int) -> Boxes:
    """Take boxes along as their image is squashed to a square.

    Parameters
    ----------
    boxes : ndarray of shape (N, 4), float64
        In pixels of the image.
    width, height : float
        Of the image.
    size : int
        Side of the square.

    Returns
    -------
    ndarray of shape (N, 4), int64
        Rounded down, as the WSOL benchmark does, and moved into the square.
    """
    factors = size / np.array([width, height, width, height])
    return np.clip((boxes * factors).astype(np.int64), 0, size - 1)


def filled(boxes: Boxes, size: int) -> NDArray[np.bool_]:
    """Paint boxes as a mask.

    Parameters
    ----------
    boxes : ndarray of shape (N, 4), int64
        In a square.
    size : int
        Side of the square.

    Returns
    -------
    ndarray of shape (size, size), bool
        Whether a pixel lies in any of them.
    """
    mask = np.zeros((size, size), bool)
    for left, top, right, bottom in boxes.tolist():
        mask[top : bottom + 1, left : right + 1] = True
    return mask
