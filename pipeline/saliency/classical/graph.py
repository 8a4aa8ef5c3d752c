"""The graph of superpixels: who touches whom, how far colours lie apart along it."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled
from dilo.pipeline.saliency.classical.color import rgb_to_lab
from dilo.pipeline.saliency.classical.regions import two_hop_neighbors
from dilo.pipeline.saliency.classical.superpixels import Segmentation, Superpixels
from dilo.pipeline.saliency.parameters import ColorGraphParameters

T = TypeVar("T", bound=np.generic)

# CIELAB units. Nearer colours are one colour: far below what 8 bits can tell apart, far above
# rounding, which must not pass for contrast in a flat picture.
_SAME_COLOR = 1e-9
#: Side of the squares that one half of a symmetric array is mirrored by.
_TILE = 16


@dataclass(frozen=True)
class ColorGraph:
    """The graph of N superpixels that GS and RBD read.

    Attributes
    ----------
    position : ndarray of shape (N, 2), float64
        Mean row and column, each in units of the image's own side.
    on_boundary : ndarray of shape (N,), bool
        Whether the superpixel reaches into the band along the image's edges.
    counts : ndarray of shape (N, N), uint8
        In how many of two ways superpixels touch: one is somewhere directly above or left of the
        other, or the reverse. So 0, 1 or 2; 1 on the diagonal.
    adjacent : ndarray of shape (N, N), bool
        Who touches whom, the diagonal False.
    difference : ndarray of shape (N, N), float64
        Colour difference of all pairs, in CIELAB units.
    near : ndarray of shape (N, N), bool
        Neighbours and their neighbours, the diagonal False.
    linked : ndarray of shape (N, N), bool
        Neighbours, and all pairs of the boundary, the diagonal False.
    clip : float
        Colour difference of a link that costs a path nothing; it is taken off all others. The
        mean, over superpixels, of the smallest to one of those near.

    References
    ----------
    Zhu et al., CVPR 2014, equation 1; the clip is the released code's.
    """

    position: NDArray[np.float64]
    on_boundary: NDArray[np.bool_]
    counts: NDArray[np.uint8]
    adjacent: NDArray[np.bool_]
    difference: NDArray[np.float64]
    near: NDArray[np.bool_]
    linked: NDArray[np.bool_]
    clip: float


def color_graph(segmentation: Segmentation, parameters: ColorGraphParameters) -> ColorGraph:
    """Build the graph that GS and RBD read.

    Parameters
    ----------
    segmentation : Segmentation
        N superpixels of one image.
    parameters : ColorGraphParameters
        The boundary's width.

    Returns
    -------
    ColorGraph
        Differences and neighbours.
    """
    band = max(1, int(parameters.boundary_band * segmentation.side + 0.5))
    return graph_of(segmentation.superpixels, band=band)


def graph_of(superpixels: Superpixels, *, band: int) -> ColorGraph:
    """Build the graph from superpixels alone.

    Parameters
    ----------
    superpixels : Superpixels
        N superpixels of one image.
    band : int
        Width of the boundary, in pixels.

    Returns
    -------
    ColorGraph
        Differences and neighbours.
    """
    boundary = superpixels.on_boundary(band)
    counts, adjacent, linked = _links(superpixels.touch, boundary)
    near = two_hop_neighbors(adjacent)
    difference = pairwise_distance(rgb_to_lab(superpixels.rgb))
    return ColorGraph(
        position=superpixels.position,
        on_boundary=boundary,
        counts=counts,
        adjacent=adjacent,
        difference=difference,
        near=near,
        linked=linked,
        clip=mean_smallest(difference, near),
    )


@compiled
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
    count, dimensions = points.shape
    columns = points.T.copy()
    distance = np.zeros((count, count))
    for i in range(count):
        row = distance[i]
        for d in range(dimensions):
            column, coordinate = columns[d], points[i, d]
            for j in range(i):
                row[j] += (column[j] - coordinate) * (column[j] - coordinate)
        for j in range(i):
            length = np.sqrt(row[j])
            row[j] = length if length >= _SAME_COLOR else 0.0
    for top in range(0, count, _TILE):  # a square at a time, which stays in the nearest cache
        for left in range(0, top + 1, _TILE):
            for i in range(top, min(top + _TILE, count)):
                for j in range(left, min(left + _TILE, i)):
                    distance[j, i] = distance[i, j]
    return distance


@compiled
def pairs_of(relation: NDArray[np.bool_]) -> NDArray[np.int32]:
    """List the pairs in a symmetric relation.

    Parameters
    ----------
    relation : ndarray of shape (N, N), bool
        Symmetric; the diagonal says nothing.

    Returns
    -------
    ndarray of shape (P, 2), int32
        Each pair once, the larger number first; row by row.
    """
    count, end = len(relation), 0
    pairs = np.empty((count * (count - 1) // 2 + 1, 2), np.int32)
    for i in range(count):
        row = relation[i]
        for j in range(i):
            pairs[end, 0], pairs[end, 1] = i, j  # the next takes its place, unless it is one
            end += row[j]
    return pairs[:end]


@compiled
def at_pairs(values: NDArray[T], pairs: NDArray[np.int32]) -> NDArray[T]:
    """Look values up.

    Parameters
    ----------
    values : ndarray of shape (N, N)
        One for each two.
    pairs : ndarray of shape (P, 2), int32
        As `pairs_of` lists them.

    Returns
    -------
    ndarray of shape (P,), of the same type
        Those of the pairs.
    """
    chosen = np.empty(len(pairs), values.dtype)
    for pair in range(len(pairs)):
        chosen[pair] = values[pairs[pair, 0], pairs[pair, 1]]
    return chosen


@compiled
def node_sums(
    pairs: NDArray[np.int32], values: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Sum for each superpixel the values of the pairs that it is in.

    Parameters
    ----------
    pairs : ndarray of shape (P, 2), int32
        As `pairs_of` lists them.
    values : ndarray of shape (P,), float64
        Theirs.
    count : int
        Number of superpixels, N.

    Returns
    -------
    ndarray of shape (N,), float64
        The sums.
    """
    sums = np.zeros(count)
    for pair in range(len(pairs)):
        sums[pairs[pair, 0]] += values[pair]
        sums[pairs[pair, 1]] += values[pair]
    return sums


@compiled
def symmetric(
    pairs: NDArray[np.int32], values: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Put the values of pairs where they belong, in both halves.

    Parameters
    ----------
    pairs : ndarray of shape (P, 2), int32
        As `pairs_of` lists them.
    values : ndarray of shape (P,), float64
        Theirs.
    count : int
        Number of superpixels, N.

    Returns
    -------
    ndarray of shape (N, N), float64
        The values, and 0 elsewhere.
    """
    whole = np.zeros((count, count))
    for pair in range(len(pairs)):
        i, j = pairs[pair, 0], pairs[pair, 1]
        whole[i, j], whole[j, i] = values[pair], values[pair]
    return whole


def link_weights(
    color: NDArray[np.float64], pairs: NDArray[np.int32], decay: float
) -> NDArray[np.float64] | None:
    """Weigh links by the likeness of their ends, on the scale of this image's differences.

    Parameters
    ----------
    color : ndarray of shape (N, 3), float64
        Colours of superpixels.
    pairs : ndarray of shape (P, 2), int32
        Which are linked, as `pairs_of` lists them.
    decay : float
        How fast the weight falls with the difference: the least like link weighs exp(-decay).

    Returns
    -------
    ndarray of shape (P,), float64, or None
        In (0, 1]; None where all links are alike, as in a picture of one colour, and so none
        says anything.
    """
    difference = _pair_distance(color, pairs)
    low, high = difference.min(initial=np.inf), difference.max(initial=-np.inf)
    if not low < high:
        return None
    weights: NDArray[np.float64] = np.exp((difference - low) * (-decay / (high - low)))
    return weights


@compiled
def _pair_distance(points: NDArray[np.float64], pairs: NDArray[np.int32]) -> NDArray[np.float64]:
    """Measure the distance of some pairs of points, as `pairwise_distance` that of all."""
    distance = np.empty(len(pairs))
    for pair in range(len(pairs)):
        first, second = points[pairs[pair, 0]], points[pairs[pair, 1]]
        total = 0.0
        for d in range(points.shape[1]):
            total += (second[d] - first[d]) * (second[d] - first[d])
        length = np.sqrt(total)
        distance[pair] = length if length >= _SAME_COLOR else 0.0
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
    flat = np.ascontiguousarray(distance).reshape(-1)
    weight = _exponent(flat, sigma)
    np.exp(weight, out=weight)
    _zero_beyond(weight, flat, 3 * sigma)
    return weight.reshape(distance.shape)


@compiled
def _exponent(distance: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Square distances in units of sigma; as if near where far off, for exp is slow on extremes."""
    exponent = np.empty_like(distance)
    unit = 1 / max(sigma, 1e-77)  # whose square is not yet 0
    for i in range(len(distance)):
        scaled = min(distance[i] * unit, 4.0)
        exponent[i] = -0.5 * scaled * scaled
    return exponent


@compiled
def _zero_beyond(weight: NDArray[np.float64], distance: NDArray[np.float64], limit: float) -> None:
    """Make weights nought, in place, where the distance is above a limit."""
    for i in range(len(weight)):
        weight[i] = weight[i] if distance[i] <= limit else 0.0


@compiled
def _links(
    touch: NDArray[np.uint8], on_boundary: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
    """Make of who touches whom `counts`, `adjacent` and `linked` of the graph."""
    count = len(touch)
    counts = np.zeros((count, count), np.uint8)
    adjacent, linked = np.zeros((count, count), np.bool_), np.zeros((count, count), np.bool_)
    for i in range(count):
        if on_boundary[i]:
            linked[i] = on_boundary
    for i in range(count):
        row = touch[i]
        for j in range(count):
            if row[j] & 1:
                counts[i, j] += 1
                counts[j, i] += 1
                adjacent[i, j] = adjacent[j, i] = linked[i, j] = linked[j, i] = True
    for i in range(count):
        counts[i, i], linked[i, i] = 1, False
    return counts, adjacent, linked


@compiled
def mean_smallest(difference: NDArray[np.float64], among: NDArray[np.bool_]) -> float:
    """Average over superpixels the smallest difference to some others.

    Parameters
    ----------
    difference : ndarray of shape (N, N), float64
        Differences of all pairs, symmetric.
    among : ndarray of shape (N, N), bool
        Which pairs count.

    Returns
    -------
    float
        The mean; one that has no others adds 0 to it.
    """
    count, total = len(difference), 0.0
    smallest = np.full(count, np.inf)
    for i in range(count):  # of all columns at once, by vector instructions
        row, counts = difference[i], among[i]
        for j in range(count):
            value = row[j] if counts[j] else np.inf
            smallest[j] = min(value, smallest[j])
    for value in smallest:
        if value < np.inf:  # not so for a single superpixel
            total += value
    return total / count
