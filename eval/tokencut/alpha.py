"""From the two sides of a cut, cell by cell, to a mask: its part, its softness, its pixels."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dilo.eval.tokencut.maskmethods import TokenCutParameters

#: Share of a side's values that are below the one by which a soft mask is scaled.
_QUANTILE = 0.9


def alpha_mask(cut: NDArray[np.float64], parameters: TokenCutParameters) -> NDArray[np.float64]:
    """Make a mask of the cells of a cut.

    Parameters
    ----------
    cut : ndarray of shape (h, w), float64
        Finite values, above 0 on the object's side.
    parameters : TokenCutParameters
        Of which `component` and `soft`.

    Returns
    -------
    ndarray of shape (h, w), float64
        In [0, 1]; zeros where no cell is on the object's side. Hard, 1 on that side, or on the
        4-connected part of it that holds the largest value. Soft, clip(0.5 + t / q, 0, 1), where
        q is the 0.9 quantile of the values above 0, or of the negatives of those below; of parts
        that are left out 0.
    """
    is_object = cut > 0
    if not is_object.any():
        return np.zeros_like(cut)
    is_left_out = is_object & ~_seed_part(cut, is_object)
    alpha = _soft(cut, is_object) if parameters.soft else is_object.astype(np.float64)
    if parameters.component == "seed":
        alpha[is_left_out] = 0
    return alpha


def upsampled(mask: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Stretch a mask of cells bilinearly to an image.

    Parameters
    ----------
    mask : ndarray of shape (h, w), float64
        In [0, 1].
    side : int
        Of the image, in pixels.

    Returns
    -------
    ndarray of shape (side, side), float64
        In [0, 1].
    """
    import cv2

    stretched = cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(stretched, np.float64).clip(0, 1)


def _seed_part(cut: NDArray[np.float64], is_object: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the 4-connected part of the object's side that holds the largest value."""
    parts, _ = ndimage.label(is_object)
    part: NDArray[np.bool_] = parts == parts.flat[cut.argmax()]
    return part


def _soft(cut: NDArray[np.float64], is_object: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Let the mask rise from the background's side to the object's."""
    is_background = cut < 0
    above = np.quantile(cut[is_object], _QUANTILE)
    below = np.quantile(-cut[is_background], _QUANTILE) if is_background.any() else above
    alpha: NDArray[np.float64] = (0.5 + cut / np.where(is_object, above, below)).clip(0, 1)
    return alpha
