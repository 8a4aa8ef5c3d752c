"""Graph cuts of an image by colour models, and the cut that keeps a star convex."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from dilo.eval.attribution.maskmethods import GradientParameters
from dilo.eval.attribution.pixelgraph import links
from dilo.pipeline.saliency.cuts.colormodels import color_models, likelihood


@dataclass(frozen=True, eq=False)
class Seeds:
    """Which pixels a map takes for foreground or background; none for both.

    Attributes
    ----------
    foreground, background : ndarray of shape (S, S), bool
        Those whose colours stand for their side, at least one each.
    sure_foreground, sure_background : ndarray of shape (S, S), bool
        Those of them that no cut may move to the other side, at least one each.
    """

    foreground: NDArray[np.bool_]
    background: NDArray[np.bool_]
    sure_foreground: NDArray[np.bool_]
    sure_background: NDArray[np.bool_]


def seeds_of(saliency: NDArray[np.float64], parameters: GradientParameters) -> Seeds | None:
    """Choose seeds by quantiles of a map.

    Parameters
    ----------
    saliency : ndarray of shape (S, S), float64
        Finite values of any range.
    parameters : GradientParameters
        Of which the four quantiles count.

    Returns
    -------
    Seeds or None
        Foreground is what reaches the upper quantiles, background what does not exceed the
        lower. Where so many values are equal that a pixel would be both, it is background, but
        foreground if no value is greater. None for a constant map.

    References
    ----------
    K. Simonyan, A. Vedaldi and A. Zisserman, "Deep Inside Convolutional Networks: Visualising
    Image Classification Models and Saliency Maps", 2013, section 3.2.
    """
    low, high = saliency.min(), saliency.max()
    if low == high:
        return None
    sure_low, lower, upper, sure_high = np.quantile(
        saliency,
        (
            parameters.sure_background,
            parameters.background,
            parameters.foreground,
            parameters.sure_foreground,
        ),
    )
    # The ends are named besides: a quantile between equal values may be off by rounding.
    greatest, least = saliency == high, saliency == low
    foreground = greatest | ((saliency >= upper) & (saliency > lower))
    background = least | ((saliency <= lower) & ~foreground)
    return Seeds(
        foreground,
        background,
        greatest | (foreground & (saliency >= sure_high)),
        least | (background & (saliency <= sure_low)),
    )


#: The four neighbours of a pixel, each pair once: rows down, columns right.
_FOUR = ((0, 1), (1, 0))


# Energies are rounded to multiples of 1/50, and smaller shares only where the sum must fit int32.
_UNITS, _MOST = 50.0, 2.0**28


@dataclass(frozen=True, eq=False)
class Energy:
    """What a labelling costs: a sum over pixels and over neighbours that are parted.

    Attributes
    ----------
    as_foreground, as_background : ndarray of shape (N,), float64
        What it costs that a pixel is on a side, at least 0.
    first, second : ndarray of shape (L,), intp
        Neighbours.
    parting : ndarray of shape (L,), float64
        What it costs that they are on different sides, at least 0.
    """

    as_foreground: NDArray[np.float64]
    as_background: NDArray[np.float64]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    parting: NDArray[np.float64]

    def of(self, foreground: NDArray[np.bool_]) -> float:
        """Add up what a labelling costs.

        Parameters
        ----------
        foreground : ndarray of shape (N,), bool
            The pixels that are foreground.

        Returns
        -------
        float
            Its energy.
        """
        alone = np.where(foreground, self.as_foreground, self.as_background).sum()
        return float(alone + self.parting[foreground[self.first] != foreground[self.second]].sum())


def color_energy(image: NDArray[np.uint8], seeds: Seeds, parameters: GradientParameters) -> Energy:
    """Weigh colours against the seeds', and edges against the image's.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    seeds : Seeds
        Whose colours stand for either side.
    parameters : GradientParameters
        Of which the mixtures' and the edges' count.

    Returns
    -------
    Energy
        A pixel costs the negative logarithm of its side's posterior probability; the
        likelihoods are mixed with a uniform one. Parted neighbours of squared difference d2
        cost ``edge_weight exp(-2 d2 / mean(d2))``.

    References
    ----------
    Y. Boykov and M.-P. Jolly, "Interactive Graph Cuts for Optimal Boundary & Region
    Segmentation of Objects in N-D Images", ICCV 2001; the constants are those of iseg, the
    code that goes with V. Gulshan et al., "Geodesic Star Convexity for Interactive Image
    Segmentation", CVPR 2010.
    """
    either = seeds.foreground | seeds.background
    models = color_models(image[either][None], seeds.foreground[either][None], parameters.seed)
    pixels = image.reshape(-1, 3).astype(np.float64)
    # To a density of colours from 0 to 1, of which the uniform one is 1.
    scale = (1 - parameters.uniform) * 255.0**3 / (2 * np.pi) ** 1.5
    background, foreground = (
        parameters.uniform + scale * likelihood(pixels, model) for model in models
    )
    both = foreground + background
    first, second, squared, _ = links(image.astype(np.float64), _FOUR)
    mean = squared.mean() if len(squared) else 0.0
    fall = np.exp(-2 * squared / mean) if mean > 0 else np.ones_like(squared)
    return Energy(
        -np.log(foreground / both),
        -np.log(background / both),
        first,
        second,
        parameters.edge_weight * fall,
    )


def minimal_cut(
    energy: Energy, seeds: Seeds, parent: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Find the labelling of least energy that keeps the sure seeds and, if asked, paths whole.

    Parameters
    ----------
    energy : Energy
        Of N pixels, rounded to multiples of 1/50.
    seeds : Seeds
        Of which the sure ones count.
    parent : ndarray of shape (N,), int64, optional
        A pixel that must be foreground if this one is, or itself.

    Returns
    -------
    ndarray of shape (N,), bool
        The foreground; of several that are as good, the smallest.
    """
    foreground, background = seeds.sure_foreground.ravel(), seeds.sure_background.ravel()
    # All seeds and nothing else is allowed: what costs more is as good as forbidden.
    units = min(_UNITS, _MOST / max(1.0, energy.of(foreground)))
    to_sink, to_source, parting = (
        np.floor(units * cost + 0.5)
        for cost in (energy.as_foreground, energy.as_background, energy.parting)
    )
    allowed = Energy(to_sink, to_source, energy.first, energy.second, parting).of(foreground)
    forbidden = allowed + 1
    both = np.minimum(to_sink, to_source)
    to_sink = np.where(background, forbidden, np.where(foreground, 0, to_sink - both))
    to_source = np.where(foreground, forbidden, np.where(background, 0, to_source - both))
    count = len(both)
    pixels, source, sink = np.arange(count), np.full(count, count), np.full(count, count + 1)
    tails = [energy.first, energy.second, source, pixels]
    heads = [energy.second, energy.first, pixels, sink]
    capacities = [parting, parting, to_source, to_sink]
    if parent is not None:
        below = np.flatnonzero(parent != pixels)
        tails.append(below)
        heads.append(parent[below])
        capacities.append(np.full(len(below), forbidden))
    graph = csr_matrix(
        (
            np.minimum(np.concatenate(capacities), forbidden).astype(np.int32),
            (np.concatenate(tails), np.concatenate(heads)),
        ),
        shape=(count + 2, count + 2),
    )
    return _reached(graph, count, count + 1)


def _reached(graph: csr_matrix, source: int, sink: int) -> NDArray[np.bool_]:
    """Tell which pixels a maximal flow leaves within reach of the source."""
    left = graph - maximum_flow(graph, source, sink).flow
    left.eliminate_zeros()
    found = breadth_first_order(left, source, return_predecessors=False)
    reached = np.zeros(graph.shape[0], np.bool_)
    reached[found] = True
    return reached[:source]
