"""How near in colour is near, estimated from an image's own superpixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.compiled import compiled
from dilo.pipeline.saliency.graph import mean_smallest
from dilo.pipeline.saliency.parameters import RbdParameters


@dataclass(frozen=True)
class Scales:
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


def color_scales(
    difference: NDArray[np.float64], adjacent: NDArray[np.bool_], parameters: RbdParameters
) -> Scales:
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
    Scales
        Both.

    References
    ----------
    ``EstimateDynamicParas`` in the released code of Zhu et al., CVPR 2014.
    """
    one_step = mean_smallest(difference, adjacent)
    pairs = np.sort(_of_pairs(difference, adjacent))
    count = int(parameters.top_pairs * len(pairs) + 0.5)
    # Under 50 pairs the share is none of them, and bounds nothing.
    top = float(pairs[-count:].mean()) if count else np.inf
    low, high = parameters.geodesic_sigma
    return Scales(
        geodesic=max(low, min(high, 3 * one_step, top / 10)),
        neighbor=min(3 * one_step, 0.2 * top, parameters.neighbor_sigma),
    )


@compiled
def _of_pairs(difference: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    """List the differences of the pairs in a symmetric relation, each once."""
    count, end = len(difference), 0
    pairs = np.empty(count * (count - 1) // 2)
    for i in range(count):
        for j in range(i):
            if among[i, j]:
                pairs[end] = difference[i, j]
                end += 1
    return pairs[:end]
