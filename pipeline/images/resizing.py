"""Images squashed to a square, and masks stretched back over their images."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def squash(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize to a square.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3) or (H, W), uint8
        Image or mask of any size.
    side : int
        Side of the square, in pixels.

    Returns
    -------
    ndarray of shape (side, side, 3) or (side, side), uint8
        By the mean of what becomes a pixel where a side shrinks to half or less, so that
        nothing is skipped; bilinear otherwise.
    """
    import cv2

    height, width = image.shape[:2]
    if height == width == side:
        return np.ascontiguousarray(image)
    shrinks = max(height, width) >= 2 * side
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=interpolation)
    return np.asarray(resized, np.uint8)


def stretch_mask(mask: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Stretch a mask to its image, bilinearly, as it will be used.

    Parameters
    ----------
    mask : ndarray of shape (h, w), uint8
        Of the image squashed to this size, for a store's masks a square.
    shape : tuple of int
        The image's: H, W, and what may follow.

    Returns
    -------
    ndarray of shape (H, W), uint8
        The mask over the image; the very mask where the size is right already.
    """
    if mask.shape == shape[:2]:
        return mask
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR))
