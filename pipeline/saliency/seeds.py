"""Seeds of a segmentation: the pixels of a map that are surely, or likely, on either side."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.networkparameters import GradientParameters


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
