"""The weighted F-measure: errors count less near the object and in company, without a threshold."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, distance_transform_edt

#: The Gaussian that lets neighbours on the object vouch for each other: 7 x 7 pixels.
SIGMA = 5.0
RADIUS = 3
#: Distance from the object, in pixels, at which the weight of an error is 1.5, between 1 and 2.
HALF_WAY = 5.0
EPSILON = float(np.finfo(np.float64).eps)


def weighted_f_measure(saliency: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Measure F, with beta squared 1, of weighted precision and weighted recall.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The map, 0 to 1.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object.

    Returns
    -------
    float
        0 to 1; 0 where there is no object.

    References
    ----------
    .. [1] R. Margolin, L. Zelnik-Manor and A. Tal, "How to Evaluate Foreground Maps?",
       CVPR 2014, equations 6 to 16, with the released code's 7 x 7 window.
    """
    if not truth.any():
        return 0.0
    errors = weighted_errors(saliency, truth)
    on_object, off_object = errors[truth], errors[~truth]
    hits = truth.sum() - on_object.sum()
    precision = hits / (hits + off_object.sum() + EPSILON)
    recall = 1 - on_object.mean()
    return float(2 * precision * recall / (precision + recall + EPSILON))


def weighted_errors(saliency: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weigh the absolute error of each pixel by where it lies.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        The map, 0 to 1.
    truth : ndarray of shape (H, W), bool
        Whether a pixel belongs to the object; some must.

    Returns
    -------
    ndarray of shape (H, W), float64
        On the object, the smaller of the error and the mean error about the pixel, to
        which each background pixel brings the error of the nearest object pixel. Off the
        object, the error times 1 to 2, the more the farther away.
    """
    errors = np.abs(saliency - truth)
    distance, (rows, columns) = distance_transform_edt(~truth, return_indices=True)
    offsets = np.arange(-RADIUS, RADIUS + 1)
    window = np.exp(-np.square(offsets) / (2 * SIGMA**2))
    window /= window.sum()
    company = errors[rows, columns]  # an object pixel is its own nearest
    for axis in (0, 1):
        company = correlate1d(company, window, axis=axis, mode="constant")
    far = 2 - np.power(0.5, distance / HALF_WAY)
    weighed: NDArray[np.float64] = np.where(truth, np.minimum(errors, company), errors * far)
    return weighed
