"""An image as a graph: its pixels are nodes, its neighbours linked; and shortest paths in it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra


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
        start = node[: height - down, max(0, -right) : width - max(0, right)]
        end = node[down:, max(0, right) : width - max(0, -right)]
        pairs.append((start.ravel(), end.ravel()))
        lengths.append(np.full(start.size, float(down * down + right * right)))
    first, second = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    values = colors.reshape(height * width, -1)
    squared = np.square(values[first] - values[second]).sum(1)
    return first, second, squared, np.concatenate(lengths)


#: The eight neighbours of a pixel, each pair once: rows down, columns right.
_EIGHT = ((0, 1), (1, 0), (1, 1), (1, -1))


def geodesic_forest(
    colors: NDArray[np.float64], centers: NDArray[np.bool_], weight: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the shortest path from every pixel to a star centre.

    Parameters
    ----------
    colors : ndarray of shape (H, W, 3), float64
        The image.
    centers : ndarray of shape (H, W), bool
        Where paths end, at least one.
    weight : float
        Of colour in the length of a step, from 0, which makes it Euclidean, to 1.

    Returns
    -------
    ndarray of shape (H W,), float64
        Length of each pixel's path, row by row.
    ndarray of shape (H W,), int64
        The next pixel on it; a centre's is itself.

    Notes
    -----
    A path steps to any of eight neighbours; with w the weight, a step of length l, 1 or the
    root of 2, over a squared difference of colours d2 is ``sqrt((1 - w) l^2 + w d2 / mean(d2))``
    long (section 3.2, equation 6). Dividing by the mean over all steps is ours: the paper does
    not say in which units colours are, and by its mean the image's contrast does not matter.

    References
    ----------
    V. Gulshan et al., "Geodesic Star Convexity for Interactive Image Segmentation", CVPR 2010.
    """
    first, second, squared, length = links(colors, _EIGHT)
    mean = squared.mean() if len(squared) else 0.0
    relative = squared / mean if mean > 0 else squared
    cost = np.sqrt((1 - weight) * length + weight * relative)
    count = centers.size
    # What costs nothing stays a link: of a sparse matrix, dijkstra leaves out what is not there.
    graph = csr_matrix((cost, (first, second)), shape=(count, count))
    distance, parent, _ = dijkstra(
        graph,
        directed=False,
        indices=np.flatnonzero(centers),
        return_predecessors=True,
        min_only=True,
    )
    return distance, np.where(centers.ravel(), np.arange(count), parent).astype(np.int64)
