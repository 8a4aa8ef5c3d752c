"""Measures of a map cut at thresholds: precision, recall, F and E, all from pixel counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A map in 0..1 is cut at ``floor(255 * saliency) >= t`` for t = 0 .. 255.
THRESHOLDS = 256
#: The weight of precision in F, as saliency benchmarks have it since Achanta et al. 2009.
BETA_SQUARED = 0.3


@dataclass(frozen=True, eq=False)
class Counts:
    """How many pixels a map selects, by threshold; all that precision, recall, F and E need.

    Attributes
    ----------
    selected : ndarray of shape (T,), int64
        Pixels at or above each threshold.
    hits : ndarray of shape (T,), int64
        Those of them that belong to the object.
    positives : int
        Pixels of the object.
    pixels : int
        Pixels of the image.
    """

    selected: NDArray[np.int64]
    hits: NDArray[np.int64]
    positives: int
    pixels: int


def counts(saliency: NDArray[np.float64], truth: NDArray[np.bool_]) -> Counts:
    """Count the pixels at or above each of the 256 thresholds.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The map, 0 to 1.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object.

    Returns
    -------
    Counts
        By threshold, from 0 to 255.
    """
    levels = (255 * saliency).astype(np.intp)
    # Histograms summed from the top: what lies at or above.
    selected = np.bincount(levels.ravel(), minlength=THRESHOLDS)[::-1].cumsum()[::-1]
    hits = np.bincount(levels[truth], minlength=THRESHOLDS)[::-1].cumsum()[::-1]
    return Counts(selected, hits, int(truth.sum()), truth.size)


def adaptive_counts(saliency: NDArray[np.float64], truth: NDArray[np.bool_]) -> Counts:
    """Count the pixels at or above twice the mean of the map, or 1 if that is less.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The map, 0 to 1.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object.

    Returns
    -------
    Counts
        At this one threshold.

    References
    ----------
    .. [1] R. Achanta, S. Hemami, F. Estrada and S. Susstrunk, "Frequency-tuned Salient
       Region Detection", CVPR 2009, equation 9.
    """
    selected = saliency >= min(2 * saliency.mean(), 1.0)
    return Counts(
        np.array([selected.sum()]), np.array([selected[truth].sum()]), int(truth.sum()), truth.size
    )


def precision(pixel_counts: Counts) -> NDArray[np.float64]:
    """Compute which share of the selected pixels belongs to the object.

    Parameters
    ----------
    pixel_counts : Counts
        By threshold.

    Returns
    -------
    ndarray of shape (T,), float64
        0 where nothing was selected.
    """
    return pixel_counts.hits / np.maximum(pixel_counts.selected, 1)


def recall(pixel_counts: Counts) -> NDArray[np.float64]:
    """Compute which share of the object was selected.

    Parameters
    ----------
    pixel_counts : Counts
        By threshold.

    Returns
    -------
    ndarray of shape (T,), float64
        0 where there is no object.
    """
    return pixel_counts.hits / max(pixel_counts.positives, 1)


def intersection_over_union(pixel_counts: Counts) -> NDArray[np.float64]:
    """Compute which share of the pixels that are selected or of the object is both.

    Parameters
    ----------
    pixel_counts : Counts
        By threshold.

    Returns
    -------
    ndarray of shape (T,), float64
        1 where nothing was selected and there is no object.
    """
    union = pixel_counts.selected + pixel_counts.positives - pixel_counts.hits
    return np.where(union > 0, pixel_counts.hits / np.maximum(union, 1), 1.0)


def f_measure(
    precision: NDArray[np.float64],
    recall: NDArray[np.float64],
    *,
    beta_squared: float = BETA_SQUARED,
) -> NDArray[np.float64]:
    """Weigh precision and recall into one number.

    Parameters
    ----------
    precision : ndarray of shape (T,), float64
        Precision by threshold.
    recall : ndarray of shape (T,), float64
        Recall by threshold.
    beta_squared : float, default 0.3
        The smaller, the more precision counts.

    Returns
    -------
    ndarray of shape (T,), float64
        ``(1 + b) P R / (b P + R)``; 0 where both are 0.

    Examples
    --------
    >>> f_measure(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.5, 1.0]))
    array([0. , 0.5, 1. ])
    """
    weighted = beta_squared * precision + recall
    product = (1 + beta_squared) * precision * recall
    return np.divide(product, weighted, out=np.zeros_like(product), where=weighted > 0)


def e_measure(pixel_counts: Counts) -> NDArray[np.float64]:
    """Measure how well the map, cut at each threshold, is aligned with the object.

    Parameters
    ----------
    pixel_counts : Counts
        By threshold.

    Returns
    -------
    ndarray of shape (T,), float64
        The enhanced alignment, summed over the pixels and divided by their number less
        one (by one for an image of one pixel). Without an object, the pixels not
        selected count; without a background, those selected.

    Notes
    -----
    The alignment of a pixel takes one of four values, by whether it is selected and whether
    it belongs to the object, so that four counts give the sum over all pixels.

    References
    ----------
    .. [1] D.-P. Fan, C. Gong, Y. Cao, B. Ren, M.-M. Cheng and A. Borji,
       "Enhanced-alignment Measure for Binary Foreground Map Evaluation", IJCAI 2018.
    """
    selected, hits = pixel_counts.selected.astype(np.float64), pixel_counts.hits.astype(np.float64)
    positives, pixels = pixel_counts.positives, pixel_counts.pixels
    if positives == 0:
        total = pixels - selected
    elif positives == pixels:
        total = selected
    else:
        share, object_share = selected / pixels, positives / pixels
        total = (
            hits * _alignment(1 - share, 1 - object_share)
            + (selected - hits) * _alignment(1 - share, -object_share)
            + (positives - hits) * _alignment(-share, 1 - object_share)
            + (pixels - selected - positives + hits) * _alignment(-share, -object_share)
        )
    return total / max(pixels - 1, 1)


def _alignment(map_bias: NDArray[np.float64], truth_bias: float) -> NDArray[np.float64]:
    """Enhance the alignment of two biases; the truth's is never 0, as it has both kinds."""
    aligned = 2 * map_bias * truth_bias / (np.square(map_bias) + truth_bias**2)
    enhanced: NDArray[np.float64] = np.square(aligned + 1) / 4
    return enhanced
