"""The S-measure: whether a map has the structure of the object, without a threshold."""

import numpy as np
from numpy.typing import NDArray

#: The release's guard against division by zero. It decides more than rounding: a block
#: whose variances are all rounding error scores 0 for it.
EPSILON = float(np.finfo(np.float64).eps)


def s_measure(saliency: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Average an object-aware and a region-aware similarity of map and object.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The map, 0 to 1.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object.

    Returns
    -------
    float
        At most 1, and never below 0. Without an object, 1 less the map's mean; without a
        background, its mean.

    References
    ----------
    .. [1] D.-P. Fan, M.-M. Cheng, Y. Liu, T. Li and A. Borji, "Structure-measure: A New
       Way to Evaluate Foreground Maps", ICCV 2017, with alpha = 0.5.
    """
    share = truth.mean()
    if share == 0:
        return float(1 - saliency.mean())
    if share == 1:
        return float(saliency.mean())
    similarity = 0.5 * object_similarity(saliency, truth) + 0.5 * region_similarity(saliency, truth)
    return max(0.0, similarity)


def object_similarity(saliency: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Ask for a high, even map on the object and a low, even one off it.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The map, 0 to 1.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object; some must and some must not.

    Returns
    -------
    float
        The two scores, weighed by area.
    """
    share = float(truth.mean())
    return share * _evenness(saliency[truth]) + (1 - share) * _evenness(1 - saliency[~truth])


def region_similarity(saliency: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Compare map and object in four blocks that meet at the object's centroid.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The map, 0 to 1.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object; some must.

    Returns
    -------
    float
        The blocks' structural similarities, weighed by area; a block without pixels,
        where the centroid lies in the last row or column, weighs nothing.
    """
    # The centroid's own row and column belong to the upper and left blocks. Halves go to
    # the even neighbour.
    row, column = (int(centre) + 1 for centre in np.argwhere(truth).mean(axis=0).round())
    total = 0.0
    for rows in (slice(0, row), slice(row, None)):
        for columns in (slice(0, column), slice(column, None)):
            block, expected = saliency[rows, columns], truth[rows, columns]
            if block.size:
                total += block.size / truth.size * _structural_similarity(block, expected)
    return total


def _evenness(values: NDArray[np.float64]) -> float:
    """Score values that should all be 1, by their mean and their spread."""
    mean = values.mean()
    spread = values.std(ddof=1) if values.size > 1 else 0.0
    return float(2 * mean / (mean**2 + 1 + spread + EPSILON))


def _structural_similarity(block: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Compute SSIM with its constants at zero; 1 where neither block varies."""
    mean, expected = block.mean(), truth.mean()
    deviation, wanted = block - mean, truth - expected
    freedom = max(block.size - 1, 1)
    variances = (np.square(deviation).sum() + np.square(wanted).sum()) / freedom
    numerator = 4 * mean * expected * (deviation * wanted).sum() / freedom
    denominator = (mean**2 + expected**2) * variances
    if numerator != 0:
        return float(numerator / (denominator + EPSILON))
    return 1.0 if denominator == 0 else 0.0
