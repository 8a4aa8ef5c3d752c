"""Robust background detection (RBD): what is tied to the image's boundary is background."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled
from dilo.pipeline.saliency.classical.graph import (
    ColorGraph,
    at_pairs,
    color_graph,
    gaussian_weight,
    mean_smallest,
    node_sums,
    pairs_of,
)
from dilo.pipeline.saliency.classical.linear import solve
from dilo.pipeline.saliency.classical.paths import shortest_paths
from dilo.pipeline.saliency.classical.superpixels import segment
from dilo.pipeline.saliency.parameters import RbdParameters
from dilo.pipeline.saliency.values import otsu_threshold, stretch

#: The exponent of a Gaussian at three sigma, where it ends, and one that is beyond.
_END, _FAR = -4.5, -8.0


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
    nearest: float, apart: NDArray[np.float64], parameters: RbdParameters
) -> ColorSigmas:
    """Estimate both sigmas from neighbours.

    Parameters
    ----------
    nearest : float
        Mean difference of a superpixel to the neighbour most like it, in CIELAB units.
    apart : ndarray of shape (A,), float64
        Difference of each pair of neighbours, in CIELAB units.
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
    count = int(parameters.top_pairs * len(apart) + 0.5)
    # Under 50 pairs the share is none of them, and bounds nothing.
    top = float(np.sort(apart)[-count:].mean()) if count else np.inf
    low, high = parameters.geodesic_sigma
    return ColorSigmas(
        geodesic=max(low, min(high, 3 * nearest, top / 10)),
        neighbor=min(3 * nearest, 0.2 * top, parameters.neighbor_sigma),
    )


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
    pairs = pairs_of(graph.near | graph.linked)
    apart = at_pairs(graph.difference, pairs)
    counts, linked = at_pairs(graph.counts, pairs), at_pairs(graph.linked, pairs)
    nearest = mean_smallest(graph.difference, graph.adjacent)
    sigmas = color_sigmas(nearest, apart[counts > 0], parameters)
    cost = np.where(linked, np.maximum(apart - graph.clip, 0.0), np.inf)
    # No weight reaches further than three sigma.
    group, geodesic = shortest_paths(pairs, cost, len(graph.position), 3 * sigmas.geodesic)
    connectivity = boundary_connectivity(group, geodesic, graph.on_boundary, sigma=sigmas.geodesic)
    probability = background_probability(connectivity, sigma=parameters.connectivity_sigma)
    weight = np.where(
        connectivity > parameters.certain_connectivity, parameters.certain_weight, probability
    )
    contrast = background_weighted_contrast(
        graph.difference, graph.position, probability, sigma=parameters.position_sigma
    )
    smoothness = gaussian_weight(apart, sigmas.neighbor) + parameters.adjacency_weight * counts
    background = parameters.background_factor * weight
    return stretch(optimize(contrast, background, pairs, smoothness, graph.on_boundary))


def boundary_connectivity(
    group: NDArray[np.int64],
    geodesic: NDArray[np.float64],
    on_boundary: NDArray[np.bool_],
    *,
    sigma: float,
) -> NDArray[np.float64]:
    """Measure how much of a superpixel's surroundings is the image's boundary.

    Parameters
    ----------
    group : ndarray of shape (N,), int64
        Group of each superpixel, 0 to G - 1; those of one group are as far from everything.
    geodesic : ndarray of shape (G, G), float64
        Shortest-path colour distance between groups, in CIELAB units.
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
    members = np.bincount(group, minlength=len(geodesic))
    at_boundary = np.bincount(group, on_boundary, minlength=len(geodesic))
    area = (reach * members).sum(axis=1)
    connectivity: NDArray[np.float64] = (reach * at_boundary).sum(axis=1) / np.sqrt(area)
    return connectivity[group]


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
    exponent = _exponents(position, sigma)
    total = _weighted_sums(difference, np.exp(exponent), exponent, probability)
    contrast = stretch(total)
    return np.where(contrast < otsu_threshold(contrast), 0.0, contrast)


@compiled
def _exponents(position: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Compute the exponents of the Gaussian weights of all pairs, each once, row by row."""
    count, end = len(position), 0
    rows, columns = position[:, 0].copy(), position[:, 1].copy()
    exponent = np.empty(count * (count - 1) // 2)
    factor = -0.5 / (sigma * sigma)
    for i in range(count):
        pairs = exponent[end : end + i]
        for j in range(i):
            down, right = rows[j] - rows[i], columns[j] - columns[i]
            pairs[j] = max(factor * (down * down + right * right), _FAR)  # exp is slow on extremes
        end += i
    return exponent


@compiled
def _weighted_sums(
    difference: NDArray[np.float64],
    closeness: NDArray[np.float64],
    exponent: NDArray[np.float64],
    probability: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum each superpixel's differences to the others within three sigma of it, weighted."""
    count, end = len(difference), 0
    total, weighted = np.zeros(count), np.empty(count)
    for i in range(count):
        row, weight, power = difference[i], closeness[end : end + i], exponent[end : end + i]
        for j in range(i):
            value = weight[j] * row[j] if power[j] >= _END else 0.0
            total[j] += value * probability[i]
            weighted[j] = value * probability[j]
        total[i] += _sum(weighted[:i])
        end += i
    return total


@compiled
def _sum(values: NDArray[np.float64]) -> float:
    """Sum values, every eighth by itself, so that additions do not wait for each other."""
    sums, whole = np.zeros(8), len(values) // 8 * 8
    for first in range(0, whole, 8):
        for lane in range(8):
            sums[lane] += values[first + lane]
    total = 0.0
    for lane in range(8):
        total += sums[lane]
    for i in range(whole, len(values)):
        total += values[i]
    return total


def optimize(
    foreground: NDArray[np.float64],
    background: NDArray[np.float64],
    pairs: NDArray[np.int32],
    smoothness: NDArray[np.float64],
    on_boundary: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Find the saliency that best fits foreground, background and smoothness at once.

    Parameters
    ----------
    foreground : ndarray of shape (N,), float64
        Weights that pull a superpixel to 1.
    background : ndarray of shape (N,), float64
        Weights that pull a superpixel to 0.
    pairs : ndarray of shape (P, 2), int32
        Superpixels that are pulled together, as `pairs_of` lists them.
    smoothness : ndarray of shape (P,), float64
        How strongly, pair by pair.
    on_boundary : ndarray of shape (N,), bool
        Superpixels that pull many others, and so are best eliminated last; of no effect else.

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
    diagonal = background + foreground + node_sums(pairs, smoothness, len(foreground))
    try:
        return solve(diagonal, pairs, -smoothness, foreground[:, np.newaxis], on_boundary)[:, 0]
    except ValueError as error:
        raise ValueError(
            "background must be positive somewhere in each connected part, got zeros"
        ) from error
