"""Attribution maps as pictures: gray for programs, colours for people."""

import cv2
import numpy as np
from numpy.typing import NDArray

#: Share of a picture's pixels that may saturate: few pixels have most of a gradient, and beside
#: them nothing else would be seen.
SATURATED = 0.01


#: Values of a map that differ by a smaller share of the largest differ by float32's rounding.
_ROUNDING = 1e-6


#: How much of an overlay is colour, the rest being the image in gray.
TINT = 0.5


def gray(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Stretch a map to 8 bits, as benchmarks of localisation read it.

    Parameters
    ----------
    values : ndarray of shape (H, W), float32
        Any map.

    Returns
    -------
    ndarray of shape (H, W), uint8
        Its smallest value as 0, its largest as 255, rounded down between them; all 0 where it is
        constant or not finite.

    References
    ----------
    .. [1] J. Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right",
       CVPR 2020, and its repository, evaluation.py, which cuts boxes from 8-bit maps.

    Examples
    --------
    >>> import numpy as np
    >>> gray(np.array([[-1.0, 0.0], [3.0, 1.0]], np.float32)).tolist()
    [[0, 63], [255, 127]]
    """
    return levels(normalized(values))


def heat(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour a map from black over red to yellow.

    Parameters
    ----------
    values : ndarray of shape (H, W), float32
        Any map.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        RGB; the largest hundredth of the values in one colour.
    """
    if np.isfinite(values).all():
        top = np.quantile(values, 1 - SATURATED)
        if top > values.min():  # or all that there is would be cut
            values = np.minimum(values, top.astype(np.float32))
    return np.asarray(cv2.applyColorMap(gray(values), cv2.COLORMAP_INFERNO)[:, :, ::-1], np.uint8)


def overlay(values: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colour an image by a map, from blue over green to red.

    Parameters
    ----------
    values : ndarray of shape (H, W), float32
        Any map.
    image : ndarray of shape (H, W, 3), uint8
        The image, which shows through in gray.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        RGB.
    """
    colours = cv2.applyColorMap(gray(values), cv2.COLORMAP_TURBO)[:, :, ::-1]
    light = image.mean(axis=2, keepdims=True)
    mixed: NDArray[np.uint8] = np.rint(TINT * colours + (1 - TINT) * light).astype(np.uint8)
    return mixed


def normalized(saliency: NDArray[np.generic]) -> NDArray[np.float64]:
    """Stretch a map to 0..1 by its own least and greatest value.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), any real dtype
        The map.

    Returns
    -------
    ndarray of shape (H, W), float64
        From 0 to 1; all zero where the map has one value alone, or one that is not finite.

    References
    ----------
    .. [1] J. Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right",
       CVPR 2020: `normalize_scoremap` of the released code.
    """
    values = saliency.astype(np.float64)
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        return np.zeros_like(values)
    stretched: NDArray[np.float64] = (values - low) / (high - low)
    return stretched


def stretched(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stretch a network's map as `normalized` does, where rounding alone is no contrast.

    Parameters
    ----------
    values : ndarray of shape (H, W), float64
        A finite map that was computed in float32.

    Returns
    -------
    ndarray of shape (H, W), float64
        From 0 to 1; all zero where its values differ by rounding at most.
    """
    low, high = values.min(), values.max()
    if high - low <= _ROUNDING * max(abs(low), abs(high)):
        return np.zeros_like(values)
    return normalized(values)


def levels(saliency: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Round a map down to 256 levels, as boxes are cut from.

    Parameters
    ----------
    saliency : ndarray of shape (H, W), float64
        From 0 to 1.

    Returns
    -------
    ndarray of shape (H, W), uint8
        ``floor(255 x)``.
    """
    return (255 * saliency).astype(np.uint8)
