"""Every measure of one mask against its ground truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilo.eval.saliency.structure import s_measure
from dilo.eval.saliency.weighted import weighted_f_measure
from dilo.pipeline.saliency.measures import (
    adaptive_counts,
    counts,
    e_measure,
    f_measure,
    intersection_over_union,
    precision,
    recall,
)

#: Ground truth is what lies above, as in PySODMetrics.
TRUTH_ABOVE = 128
#: The threshold of a map, of 0 to 255, at which it is cut in half.
HALF = 128


@dataclass(frozen=True, eq=False)
class Measures:
    """What one mask scores."""

    #: By threshold; of shape (256,), float64.
    precision: NDArray[np.float64]
    #: By threshold; of shape (256,), float64.
    recall: NDArray[np.float64]
    #: By threshold; of shape (256,), float64.
    f: NDArray[np.float64]
    #: By threshold; of shape (256,), float64.
    e: NDArray[np.float64]
    #: At twice the mean of the map.
    adaptive_f: float
    #: At twice the mean of the map.
    adaptive_e: float
    #: Intersection over union of the mask cut at one half.
    iou: float
    #: Mean absolute error of the soft map.
    mae: float
    #: Structure.
    s_measure: float
    #: Weighted F, with beta squared 1.
    weighted_f: float


def measure(mask: NDArray[np.uint8], truth: NDArray[np.bool_]) -> Measures:
    """Score a mask by every measure.

    Parameters
    ----------
    mask : ndarray of shape (H, W), uint8
        Saliency.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object.

    Returns
    -------
    Measures
        Of the mask stretched to 0..1.

    Raises
    ------
    ValueError
        If the shapes differ or have no pixel.
    """
    if mask.ndim != 2 or mask.shape != truth.shape or not mask.size:
        raise ValueError(
            f"mask must have the shape (H, W) of truth, with pixels, "
            f"got {mask.shape} and {truth.shape}"
        )
    saliency = normalised(mask)
    curve, adaptive = counts(saliency, truth), adaptive_counts(saliency, truth)
    precisions, recalls = precision(curve), recall(curve)
    return Measures(
        precision=precisions,
        recall=recalls,
        f=f_measure(precisions, recalls),
        e=e_measure(curve),
        adaptive_f=f_measure(precision(adaptive), recall(adaptive)).item(),
        adaptive_e=e_measure(adaptive).item(),
        iou=intersection_over_union(curve)[HALF].item(),
        mae=float(np.abs(saliency - truth).mean()),
        s_measure=s_measure(saliency, truth),
        weighted_f=weighted_f_measure(saliency, truth),
    )


def normalised(mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Stretch a mask to 0..1; one of a single value is only divided by 255.

    Parameters
    ----------
    mask : ndarray of shape (H, W), uint8
        Saliency.

    Returns
    -------
    ndarray of shape (H, W), float64
        Saliency, 0 to 1.

    Examples
    --------
    >>> normalised(np.array([[51, 102, 153]], np.uint8)), normalised(np.array([[51]], np.uint8))
    (array([[0. , 0.5, 1. ]]), array([[0.2]]))
    """
    saliency = mask / 255.0
    low, high = saliency.min(), saliency.max()
    return saliency if low == high else (saliency - low) / (high - low)
