"""The graph of superpixels: who touches whom, how far colours lie apart along it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, floyd_warshall
from scipy.spatial.distance import cdist

from dilo.pipeline.saliency.parameters import RbdParameters

# CIELAB units. Nearer colours are one colour: far below what 8 bits can tell apart, far above
# rounding, which must not pass for contrast in a flat picture.
_SAME_COLOR = 1e-9


@dataclass(frozen=True)
class Scales:
    """What is near in an image's own colours, in CIELAB units.

    Attributes
    ----------
    clip : float
        Colour difference of an edge that costs a path nothing.
    geodesic_sigma : float
        Sigma of geodesic distances.
    neighbor_sigma : float
        Sigma of colour differences between neighbours; 0 where most are of one colour.
    """

    clip: float
    geodesic_sigma: float
    neighbor_sigma: float


def pairwise_distance(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure the Euclidean distance between all pairs of points.

    Parameters
    ----------
    points : ndarray of shape (N, D), float64
        Colours or positions.

    Returns
    -------
    ndarray of shape (N, N), float64
        Symmetric; exactly 0 where points are the same but for rounding.
    """
    distance: NDArray[np.float64] = cdist(points, points)
    distance[distance < _SAME_COLOR] = 0
    return distance


def gaussian_weight(distance: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Weigh distances by a Gaussian that ends at three sigma.

    Parameters
    ----------
    distance : ndarray of any shape, float64
        Distances, at least 0.
    sigma : float
        In units of the distance; at 0 the weight is 1 for distance 0 and else 0.

    Returns
    -------
    ndarray of the same shape, float64
        Weights in [0, 1].
    """
    exponent = -0.5 * np.square(distance / max(sigma, np.finfo(float).tiny ** 0.25))
    return np.where(distance <= 3 * sigma, np.exp(exponent), 0.0)


def adjacency_counts(labels: NDArray[np.intp]) -> NDArray[np.int64]:
    """Count in how many of two ways superpixels touch.

    Parameters
    ----------
    labels : ndarray of shape (H, W), intp
        Superpixel of each pixel, 0 to N - 1.

    Returns
    -------
    ndarray of shape (N, N), int64
        1 for: the one is somewhere directly above or left of the other; 1 more for the reverse.
        So 0, 1 or 2; 1 on the diagonal.
    """
    count = int(labels.max()) + 1
    before = np.zeros((count, count), np.int64)
    before[labels[:-1], labels[1:]] = 1
    before[labels[:, :-1], labels[:, 1:]] = 1
    counts = before + before.T
    np.fill_diagonal(counts, 1)
    return counts


def two_step_neighbors(adjacent: NDArray[np.bool_]) -> NDArray[np.bool_]:
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
    steps = csr_array(adjacent.astype(np.int64))
    reached: NDArray[np.bool_] = adjacent | ((steps @ steps).toarray() > 0)
    np.fill_diagonal(reached, False)
    return reached


def color_scales(
    difference: NDArray[np.float64],
    adjacent: NDArray[np.bool_],
    near: NDArray[np.bool_],
    parameters: RbdParameters,
) -> Scales:
    """Estimate an image's own scales of colour from its neighbouring superpixels.

    Parameters
    ----------
    difference : ndarray of shape (N, N), float64
        Colour difference of all pairs, in CIELAB units.
    adjacent : ndarray of shape (N, N), bool
        Who touches whom, the diagonal False.
    near : ndarray of shape (N, N), bool
        Neighbours and their neighbours, the diagonal False.
    parameters : RbdParameters
        `top_pairs` and the bounds of both sigmas.

    Returns
    -------
    Scales
        The clip and both sigmas.

    References
    ----------
    ``EstimateDynamicParas`` in the released code of Zhu et al., CVPR 2014.
    """
    one_step = _mean_smallest(difference, adjacent)
    pairs = np.sort(difference[np.triu(adjacent)])
    count = int(parameters.top_pairs * len(pairs) + 0.5)
    # Under 50 pairs the share is none of them, and bounds nothing.
    top = float(pairs[-count:].mean()) if count else np.inf
    low, high = parameters.geodesic_sigma
    return Scales(
        clip=_mean_smallest(difference, near),
        geodesic_sigma=max(low, min(high, 3 * one_step, top / 10)),
        neighbor_sigma=min(3 * one_step, 0.2 * top, parameters.neighbor_sigma),
    )


def _mean_smallest(difference: NDArray[np.float64], among: NDArray[np.bool_]) -> float:
    """Average over superpixels the smallest difference to one of `among`; 0 where none is."""
    if not among.any():  # a single superpixel
        return 0.0
    return float(np.where(among, difference, np.inf).min(axis=1).mean())


def geodesic_distance(
    difference: NDArray[np.float64],
    adjacent: NDArray[np.bool_],
    on_boundary: NDArray[np.bool_],
    *,
    clip: float,
) -> NDArray[np.float64]:
    """Measure the shortest paths of colour between all superpixels.

    Parameters
    ----------
    difference : ndarray of shape (N, N), float64
        Colour difference of all pairs, in CIELAB units.
    adjacent : ndarray of shape (N, N), bool
        Who touches whom.
    on_boundary : ndarray of shape (N,), bool
        The boundary's superpixels, which are all linked to each other.
    clip : float
        What each edge costs less than its colour difference, but never less than nothing.

    Returns
    -------
    ndarray of shape (N, N), float64
        Symmetric, 0 on the diagonal, ``inf`` where no path leads.

    References
    ----------
    Zhu et al., CVPR 2014, equation 1; the clip is the released code's.
    """
    first, second = np.nonzero(adjacent | np.logical_and.outer(on_boundary, on_boundary))
    cost = np.maximum(difference[first, second] - clip, 0.0)
    # Superpixels that a path costing nothing joins are as far from everything: one node.
    free = np.zeros(difference.shape, bool)
    free[first, second] = cost == 0
    count, node = connected_components(csr_array(free), directed=False)
    between = np.full((count, count), np.inf)
    np.minimum.at(between, (node[first], node[second]), cost)
    distance: NDArray[np.float64] = floyd_warshall(between)[np.ix_(node, node)]
    return distance
