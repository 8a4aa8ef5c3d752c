"""What a map and an object have in common, one function a measure."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from dilo.eval.common.overlaps import overlaps
from dilo.eval.localize.boxes import Boxes, contour_boxes, largest_component

#: Pixels by which the pointing game forgives a miss, on maps of the side of published numbers:
#: on smaller ones they would reach every object from the middle, so they shrink with the side.
TOLERANCE, PUBLISHED_SIDE = 15.0, 224


#: A map's box is cut where its values are above this share of the greatest.
KEPT = 0.2


#: A box is right from this overlap on.
RIGHT = 0.5


#: Overlaps that MaxBoxAccV2 asks for, one after the other.
RIGHT_V2 = (0.3, 0.5, 0.7)


#: Thresholds that differ for a map in 256 levels: of t = 0, 0.001 ... 0.999 times 255, rounded
#: down, 0 to 254 remain.
CUTS = 255


#: Bins of the pixels' values: one each thousandth, and one for the greatest.
BINS = 1001


def energy_inside(saliency: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Tell which share of a map's sum lies on the object.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The map, 0 to 1.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object.

    Returns
    -------
    float
        0 to 1; 0 for a map of zeros.

    References
    ----------
    .. [1] H. Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional
       Neural Networks", CVPR Workshops 2020: the energy-based pointing game, in
       whose place of the box stands whatever is known of the object.
    """
    total = saliency.sum()
    return float(saliency[truth].sum() / total) if total > 0 else 0.0


def tolerance_of(side: int) -> float:
    """Tell by how much the pointing game forgives a miss on maps of a side.

    Examples
    --------
    >>> tolerance_of(224), round(tolerance_of(48), 2)
    (15.0, 3.21)
    """
    return TOLERANCE * side / PUBLISHED_SIDE


def pointing(
    saliency: NDArray[np.float64], truth: NDArray[np.bool_], *, tolerance: float = TOLERANCE
) -> float:
    """Tell whether the greatest value lies on the object, or near it.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The map.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object.
    tolerance : float, default 15
        Pixels of the map from the object that still count.

    Returns
    -------
    float
        1 or 0; where several pixels share the greatest value, the share of them that hits: what
        one drawn among them would expect. A map of zeros is a point drawn blindly.

    References
    ----------
    .. [1] J. Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016,
       section 4.1.
    """
    if not truth.any():
        return 0.0
    near = distance_transform_edt(~truth) <= tolerance
    return float(near[saliency == saliency.max()].mean())


def map_box(saliency: NDArray[np.float64]) -> Boxes:
    """Cut the one box of a map: around the largest component above 20 % of its greatest value.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The map, 0 to 1.

    Returns
    -------
    ndarray of shape (1, 4) or (0, 4), int64
        The box; none for a map of zeros.

    References
    ----------
    .. [1] B. Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016,
       section 3.2.
    """
    return largest_component(saliency > KEPT * saliency.max())


def best_overlap(boxes: Boxes, truths: Boxes) -> float:
    """Find the largest overlap of any box with any true one.

    Parameters
    ----------
    boxes : ndarray of shape (N, 4), int64
        Those of a map.
    truths : ndarray of shape (M, 4), int64
        Those of the objects.

    Returns
    -------
    float
        Intersection over union; 0 where either is empty.
    """
    return float(overlaps(boxes, truths, last=1).max(initial=0.0))


def threshold_overlaps(
    cut: NDArray[np.uint8], truths: Boxes
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compare the boxes of a map with the true ones, at each threshold.

    Parameters
    ----------
    cut : ndarray of shape (H, W), uint8
        The map in its levels.
    truths : ndarray of shape (M, 4), int64
        Boxes of the objects, at least one.

    Returns
    -------
    ndarray of shape (255,), float64
        Overlap of the largest contour's box with the true box nearest to it, for what is above
        0, 1 ... 254.
    ndarray of shape (255,), float64
        The largest overlap of any contour's box.

    Notes
    -----
    Between two levels that a map has, nothing changes: so many contours are drawn as there are
    levels.
    """
    largest, anyone = np.empty(CUTS), np.empty(CUTS)
    start = 0
    # The last: above the greatest level is nothing.
    for level in [*np.unique(cut[cut > 0]).tolist(), CUTS]:
        if start < CUTS:
            boxes, first = contour_boxes(cut > start)
            ious = overlaps(boxes, truths, last=1).max(axis=1)
            largest[start:level], anyone[start:level] = ious[first], ious.max()
        start = level
    return largest, anyone


def pixel_counts(saliency: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count pixels on the object and off it by the map's value, to be summed over images.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The map, 0 to 1.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object.

    Returns
    -------
    ndarray of shape (2, 1001), int64
        Those on the object, then those off it, by ``floor(1000 x)``.
    """
    values = (1000 * saliency).astype(np.intp)
    return np.stack(
        [np.bincount(values[where], minlength=BINS) for where in (truth, ~truth)]
    ).astype(np.int64)


def pixel_curve(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute precision and recall of the pixels of all images, by threshold from the greatest.

    Parameters
    ----------
    counts : ndarray of shape (2, 1001), int64
        What `pixel_counts` counts, summed.

    Returns
    -------
    ndarray of shape (1001,), float64
        Precision; 0 where nothing is found yet.
    ndarray of shape (1001,), float64
        Recall; 0 where there is no object.
    """
    hits, misses = counts[:, ::-1].cumsum(axis=1)
    return hits / np.maximum(hits + misses, 1), hits / max(int(hits[-1]), 1)


def pixel_ap(counts: NDArray[np.int64]) -> float:
    """Compute the area under the precision-recall curve of the pixels of all images: PxAP.

    Parameters
    ----------
    counts : ndarray of shape (2, 1001), int64
        What `pixel_counts` counts, summed.

    Returns
    -------
    float
        Sum of each precision times the recall gained there; 0 to 1.

    References
    ----------
    .. [1] J. Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right",
       CVPR 2020; the bins are those of the released code.
    """
    precision, recall = pixel_curve(counts)
    return float((precision * np.diff(recall, prepend=0.0)).sum())
