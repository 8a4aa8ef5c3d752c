"""The graph of superpixels: who touches whom, how far colours lie apart along it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled
from dilo.pipeline.saliency.classical.color import rgb_to_lab
from dilo.pipeline.saliency.classical.regions import two_hop_neighbors
from dilo.pipeline.saliency.classical.superpixels import Segmentation, Superpixels
from dilo.pipeline.saliency.parameters import ColorGraphParameters

# CIELAB units. Nearer colours are one colour: far below what 8 bits can tell apart, far above
# rounding, which must not pass for contrast in a flat picture.
_SAME_COLOR = 1e-9


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
        In how many of two ways superpixels touch; see `adjacency_counts`.
    adjacent : ndarray of shape (N, N), bool
        Who touches whom, the diagonal False.
    difference : ndarray of shape (N, N), float64
        Colour difference of all pairs, in CIELAB units.
    near : ndarray of shape (N, N), bool
        Neighbours and their neighbours, the diagonal False.
    linked : ndarray of shape (N, N), bool
        Neighbours, and all pairs of the boundary, the diagonal False.
    clip : float
        Colour difference of a link that costs a path nothing: the mean, over superpixels, of
        the smallest to one of those near.
    """

    position: NDArray[np.float64]
    on_boundary: NDArray[np.bool_]
    counts: NDArray[np.uint8]
    adjacent: NDArray[np.bool_]
    difference: NDArray[np.float64]
    near: NDArray[np.bool_]
    linked: NDArray[np.bool_]
    clip: float

    @property
    def cost(self) -> NDArray[np.float64]:
        """Compute what a path pays for each link.

        Returns
        -------
        ndarray of shape (N, N), float64
            The colour difference less the clip, but never less than nothing; of all pairs,
            linked or not.

        References
        ----------
        Zhu et al., CVPR 2014, equation 1; the clip is the released code's.
        """
        cost = self.difference - self.clip
        return np.maximum(cost, 0.0, out=cost)


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
    counts = adjacency_counts(superpixels.touch)
    adjacent = counts > 0
    np.fill_diagonal(adjacent, False)
    near = two_hop_neighbors(adjacent)
    boundary = superpixels.on_boundary(band)
    linked = adjacent | np.logical_and.outer(boundary, boundary)
    np.fill_diagonal(linked, False)
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
            for j in range(count):
                row[j] += (column[j] - coordinate) * (column[j] - coordinate)
        for j in range(count):
            length = np.sqrt(row[j])
            row[j] = length if length >= _SAME_COLOR else 0.0
    return distance


@compiled
def value_range(values: NDArray[np.float64], among: NDArray[np.bool_]) -> tuple[float, float]:
    """Find the smallest and the largest of some values.

    Parameters
    ----------
    values : ndarray of shape (N, N), float64
        One a pair.
    among : ndarray of shape (N, N), bool
        Which pairs count.

    Returns
    -------
    float
        The smallest; ``inf`` where no pair counts.
    float
        The largest; ``-inf`` where no pair counts.
    """
    low, high = np.inf, -np.inf
    for i in range(len(values)):
        for j in range(len(values)):
            if among[i, j]:
                low, high = min(low, values[i, j]), max(high, values[i, j])
    return low, high


def link_weights(
    color: NDArray[np.float64], linked: NDArray[np.bool_], decay: float
) -> NDArray[np.float64] | None:
    """Weigh links by the likeness of their ends, on the scale of this image's differences.

    Parameters
    ----------
    color : ndarray of shape (N, 3), float64
        Colours of superpixels.
    linked : ndarray of shape (N, N), bool
        Which pairs are linked, the diagonal False.
    decay : float
        How fast the weight falls with the difference: the least like link weighs exp(-decay).

    Returns
    -------
    ndarray of shape (N, N), float64, or None
        In (0, 1] where there is a link, and 0 elsewhere; None where all links are alike, as in
        a picture of one colour, and so none says anything.
    """
    difference = pairwise_distance(color)
    low, high = value_range(difference, linked)
    if not low < high:
        return None
    difference -= low
    difference *= -decay / (high - low)
    # Pairs without a link may lie far beyond the range: exp is slow there, or overflows.
    np.clip(difference, -decay, 0.0, out=difference)
    np.exp(difference, out=difference)
    difference *= linked
    return difference


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


def adjacency_counts(touch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Count in how many of two ways superpixels touch.

    Parameters
    ----------
    touch : ndarray of shape (N, N), uint8
        In which directions they touch; see `contact_bits`.

    Returns
    -------
    ndarray of shape (N, N), uint8
        1 for: the one is somewhere directly above or left of the other; 1 more for the reverse.
        So 0, 1 or 2; 1 on the diagonal.
    """
    before = touch & 1
    counts: NDArray[np.uint8] = before + before.T
    np.fill_diagonal(counts, 1)
    return counts


@compiled
def mean_smallest(difference: NDArray[np.float64], among: NDArray[np.bool_]) -> float:
    """Average over superpixels the smallest difference to some others.

    Parameters
    ----------
    difference : ndarray of shape (N, N), float64
        Differences of all pairs.
    among : ndarray of shape (N, N), bool
        Which pairs count.

    Returns
    -------
    float
        The mean; one that has no others adds 0 to it.
    """
    count, total = len(difference), 0.0
    for i in range(count):
        smallest = np.inf
        for j in range(count):
            if among[i, j] and difference[i, j] < smallest:
                smallest = difference[i, j]
        if smallest < np.inf:  # not so for a single superpixel
            total += smallest
    return total / count
