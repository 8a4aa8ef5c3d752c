"""What superpixels are made of and whom they touch, in one pass over the pixels; compiled."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled


@compiled
def region_sums(
    image: NDArray[np.uint8], labels: NDArray[np.int32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum the colours and places of each superpixel's pixels.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB image.
    labels : ndarray of shape (H, W), int32
        Superpixel of each pixel, 0 to N - 1.
    count : int
        Number of superpixels, N.

    Returns
    -------
    ndarray of shape (N, 5), int64
        Sums of red, green, blue, row and column, counted from 0: whole numbers, so exact in
        any order.
    ndarray of shape (N,), int64
        Pixels.
    """
    height, width = labels.shape
    sums = np.zeros((count, 5), np.int64)
    pixels = np.zeros(count, np.int64)
    for row in range(height):
        column = 0
        while column < width:  # a run of one label at a time
            label = labels[row, column]
            first, red, green, blue = column, 0, 0, 0
            while column < width and labels[row, column] == label:
                red += image[row, column, 0]
                green += image[row, column, 1]
                blue += image[row, column, 2]
                column += 1
            run = column - first
            sums[label, 0] += red
            sums[label, 1] += green
            sums[label, 2] += blue
            sums[label, 3] += row * run
            sums[label, 4] += (first + column - 1) * run // 2
            pixels[label] += run
    return sums, pixels


@compiled
def contact_bits(labels: NDArray[np.int32], count: int) -> NDArray[np.uint8]:
    """Find in which of four directions superpixels touch.

    Parameters
    ----------
    labels : ndarray of shape (H, W), int32
        Superpixel of each pixel, 0 to N - 1.
    count : int
        Number of superpixels, N.

    Returns
    -------
    ndarray of shape (N, N), uint8
        Entry (i, j) has bit 1 if a pixel of i is directly left of one of j or directly above
        it, and bit 2 if it is so along a diagonal; the diagonal of the array is 0.
    """
    height, width = labels.shape
    touch = np.zeros((count, count), np.uint8)
    for row in range(height):
        for column in range(width):
            label = labels[row, column]
            if column + 1 < width and labels[row, column + 1] != label:
                touch[label, labels[row, column + 1]] |= 1
            if row + 1 < height:
                if labels[row + 1, column] != label:
                    touch[label, labels[row + 1, column]] |= 1
                if column + 1 < width and labels[row + 1, column + 1] != label:
                    touch[label, labels[row + 1, column + 1]] |= 2
                if column > 0 and labels[row + 1, column - 1] != label:
                    touch[label, labels[row + 1, column - 1]] |= 2
    return touch


@compiled
def two_hop_neighbors(adjacent: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the superpixels that one or two steps reach.

    Parameters
    ----------
    adjacent : ndarray of shape (N, N), bool
        Symmetric: who touches whom.

    Returns
    -------
    ndarray of shape (N, N), bool
        Neighbours and their neighbours, without the superpixel itself.
    """
    count = len(adjacent)
    reached = adjacent.copy()
    neighbors = np.empty(count, np.int64)
    for i in range(count):
        degree = 0
        for j in range(count):
            if adjacent[i, j]:
                neighbors[degree] = j
                degree += 1
        for first in range(degree):
            for second in range(degree):
                reached[neighbors[first], neighbors[second]] = True
    for i in range(count):
        reached[i, i] = False
    return reached
