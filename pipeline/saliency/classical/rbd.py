"""Robust background detection (RBD): what is tied to the image's boundary is background."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled
from dilo.pipeline.saliency.classical.graph import (
    ColorGraph,
    color_graph,
    gaussian_weight,
    mean_smallest,
    pairwise_distance,
)
from dilo.pipeline.saliency.classical.linear import solve
from dilo.pipeline.saliency.classical.paths import shortest_paths
from dilo.pipeline.saliency.classical.superpixels import segment
from dilo.pipeline.saliency.parameters import RbdParameters
from dilo.pipeline.saliency.values import otsu_threshold, stretch


@dataclass(frozen=True)
class ColorSigmas:
    """Sigmas of colour, in CIELAB units.

    Attributes
    ----------
    geodesic : float
        Of distances along paths.
    neighbor : float
        Of differences between neighbours; 0 where most are of one colour.
    """

    geodesic: float
    neighbor: float


def color_sigmas(
    difference: NDArray[np.float64], adjacent: NDArray[np.bool_], parameters: RbdParameters
) -> ColorSigmas:
    """Estimate both sigmas from neighbours.

    Parameters
    ----------
    difference : ndarray of shape (N, N), float64
        Colour difference of all pairs, in CIELAB units.
    adjacent : ndarray of shape (N, N), bool
        Who touches whom, the diagonal False.
    parameters : RbdParameters
        `top_pairs` and the bounds of both.

    Returns
    -------
    ColorSigmas
        Both.

    References
    ----------
    ``EstimateDynamicParas`` in the released code of Zhu et al., CVPR 2014.
    """
    one_step = mean_smallest(difference, adjacent)
    pairs = np.sort(_pair_values(difference, adjacent))
    count = int(parameters.top_pairs * len(pairs) + 0.5)
    # Under 50 pairs the share is none of them, and bounds nothing.
    top = float(pairs[-count:].mean()) if count else np.inf
    low, high = parameters.geodesic_sigma
    return ColorSigmas(
        geodesic=max(low, min(high, 3 * one_step, top / 10)),
        neighbor=min(3 * one_step, 0.2 * top, parameters.neighbor_sigma),
    )


@compiled
def _pair_values(difference: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    """List the differences of the pairs in a symmetric relation, each once."""
    count, end = len(difference), 0
    pairs = np.empty(count * (count - 1) // 2)
    for i in range(count):
        for j in range(i):
            if among[i, j]:
                pairs[end] = difference[i, j]
                end += 1
    return pairs[:end]


def rbd(image: NDArray[np.uint8], parameters: RbdParameters) -> NDArray[np.float64]:
    """Compute saliency by robust background detection.

    Parameters
    ----------
    image : ndarray of shape (S, S, 3), uint8
        Square RGB image.
    parameters : RbdParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (S, S), float64
        Saliency in [0, 1], one value a superpixel; 0 in a frame, and everywhere if nothing
        stands out.

    References
    ----------
    W. Zhu, S. Liang, Y. Wei and J. Sun, "Saliency Optimization from Robust Background
    Detection", CVPR 2014, as released by the authors (24 March 2014).
    """
    segmentation = segment(image, parameters)
    return segmentation.paint(rbd_values(color_graph(segmentation, parameters), parameters))


def rbd_values(graph: ColorGraph, parameters: RbdParameters) -> NDArray[np.float64]:
    """Compute the saliency of each superpixel.

    Parameters
    ----------
    graph : ColorGraph
        N superpixels of one image.
    parameters : RbdParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (N,), float64
        Saliency stretched to [0, 1], or all 0.
    """
    sigmas = color_sigmas(graph.difference, graph.adjacent, parameters)
    # No weight reaches further than three sigma.
    geodesic = shortest_paths(graph.cost, graph.linked, 3 * sigmas.geodesic)
    connectivity = boundary_connectivity(geodesic, graph.on_boundary, sigma=sigmas.geodesic)
    probability = background_probability(connectivity, sigma=parameters.connectivity_sigma)
    weight = np.where(
        connectivity > parameters.certain_connectivity, parameters.certain_weight, probability
    )
    contrast = background_weighted_contrast(
        graph.difference, graph.position, probability, sigma=parameters.position_sigma
    )
    smoothness = gaussian_weight(graph.difference, sigmas.neighbor)
    smoothness *= graph.near | graph.linked
    smoothness += parameters.adjacency_weight * graph.counts
    return stretch(optimize(contrast, parameters.background_factor * weight, smoothness))


def boundary_connectivity(
    geodesic: NDArray[np.float64], on_boundary: NDArray[np.bool_], *, sigma: float
) -> NDArray[np.float64]:
    """Measure how much of a superpixel's surroundings is the image's boundary.

    Parameters
    ----------
    geodesic : ndarray of shape (N, N), float64
        Shortest-path colour distance, in CIELAB units.
    on_boundary : ndarray of shape (N,), bool
        Whether the superpixel is in the boundary.
    sigma : float
        Sigma of geodesic distances.

    Returns
    -------
    ndarray of shape (N,), float64
        Length along the boundary over the root of the spanning area: high for background,
        near 0 for what does not reach the boundary.

    References
    ----------
    Zhu et al., CVPR 2014, equations 2 to 5.
    """
    reach = gaussian_weight(geodesic, sigma)
    connectivity: NDArray[np.float64] = reach[on_boundary].sum(axis=0)  # reach is symmetric
    connectivity /= np.sqrt(reach.sum(axis=1))
    return connectivity


def background_probability(
    connectivity: NDArray[np.float64], *, sigma: float
) -> NDArray[np.float64]:
    """Turn boundary connectivity into a probability of background.

    Parameters
    ----------
    connectivity : ndarray of shape (N,), float64
        Boundary connectivity.
    sigma : float
        Connectivity at which the probability is 1 - exp(-1/2).

    Returns
    -------
    ndarray of shape (N,), float64
        Probability in [0, 1].

    References
    ----------
    Zhu et al., CVPR 2014, equation 8.
    """
    return -np.expm1(-0.5 * np.square(connectivity / sigma))


def background_weighted_contrast(
    difference: NDArray[np.float64],
    position: NDArray[np.float64],
    probability: NDArray[np.float64],
    *,
    sigma: float,
) -> NDArray[np.float64]:
    """Measure each superpixel's contrast to the background near it, cut by Otsu's threshold.

    Parameters
    ----------
    difference : ndarray of shape (N, N), float64
        Colour difference of all pairs, in CIELAB units.
    position : ndarray of shape (N, 2), float64
        Positions in units of the image's sides.
    probability : ndarray of shape (N,), float64
        Probability of background.
    sigma : float
        Sigma of positions.

    Returns
    -------
    ndarray of shape (N,), float64
        Contrast stretched to [0, 1], and 0 where it is below the threshold.

    References
    ----------
    Zhu et al., CVPR 2014, equation 7; stretch and threshold are the released code's.
    """
    closeness = gaussian_weight(pairwise_distance(position), sigma)
    closeness *= difference
    closeness *= probability
    contrast = stretch(closeness.sum(axis=1))
    return np.where(contrast < otsu_threshold(contrast), 0.0, contrast)


def optimize(
    foreground: NDArray[np.float64],
    background: NDArray[np.float64],
    smoothness: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Find the saliency that best fits foreground, background and smoothness at once.

    Parameters
    ----------
    foreground : ndarray of shape (N,), float64
        Weights that pull a superpixel to 1.
    background : ndarray of shape (N,), float64
        Weights that pull a superpixel to 0.
    smoothness : ndarray of shape (N, N), float64
        Symmetric weights that pull two superpixels together; the diagonal has no effect.

    Returns
    -------
    ndarray of shape (N,), float64
        Saliency in [0, 1].

    Raises
    ------
    ValueError
        If nothing pulls a connected part to 0 or to 1.

    References
    ----------
    Zhu et al., CVPR 2014, equation 9.
    """
    matrix = -smoothness
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, background + foreground - matrix.sum(axis=0))
    try:
        return solve(matrix, foreground[:, np.newaxis])[:, 0]
    except ValueError as error:
        raise ValueError(
            "background must be positive somewhere in each connected part, got zeros"
        ) from error
