"""Geodesic forests: the shortest path from every pixel of an image to its nearest star centre."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from dilo.pipeline.saliency.lattice import links

#: The eight neighbours of a pixel, each pair once: rows down, columns right.
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


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
    first, second, squared, length = links(colors, _STEPS)
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
