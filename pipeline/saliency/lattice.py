"""An image as a graph: its pixels are nodes, its neighbours linked."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def links(
    colors: NDArray[np.float64], steps: Sequence[tuple[int, int]]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """List the pairs of neighbours.

    Parameters
    ----------
    colors : ndarray of shape (H, W, 3), float64
        The image.
    steps : sequence of (int, int)
        Rows down, from 0, and columns right, from a pixel to its neighbours.

    Returns
    -------
    ndarray of shape (L,), intp
        The first of each pair, its number counted row by row.
    ndarray of shape (L,), intp
        The second.
    ndarray of shape (L,), float64
        Squared difference of their colours, summed over the channels.
    ndarray of shape (L,), float64
        Squared distance, in pixels.
    """
    height, width = colors.shape[:2]
    node = np.arange(height * width).reshape(height, width)
    pairs, lengths = [], []
    for down, right in steps:
        here = node[: height - down, max(0, -right) : width - max(0, right)]
        there = node[down:, max(0, right) : width - max(0, -right)]
        pairs.append((here.ravel(), there.ravel()))
        lengths.append(np.full(here.size, float(down * down + right * right)))
    first, second = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    values = colors.reshape(height * width, -1)
    squared = np.square(values[first] - values[second]).sum(1)
    return first, second, squared, np.concatenate(lengths)
