"""Saliency methods by name, and `saliency`: any image to a square, soft 8-bit mask."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.methods import METHODS, REFINEMENTS
from dilo.pipeline.saliency.parameters import Parameters
from dilo.pipeline.saliency.recipe import MaskRecipe
from dilo.pipeline.saliency.registry import Method, Refinement

__all__ = [
    "METHODS",
    "REFINEMENTS",
    "MaskRecipe",
    "Method",
    "Parameters",
    "Refinement",
    "saliency",
]


def saliency(
    image: NDArray[np.uint8],
    method: str = "rbd",
    *,
    size: int = 224,
    refine: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> NDArray[np.uint8]:
    """Compute the saliency mask of an image squashed to a square.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB image of any size from 1 x 1 up.
    method : str, default "rbd"
        A key of `METHODS`.
    size : int, default 224
        Side of the mask in pixels, whatever the image's shape.
    refine : str, optional
        A key of `REFINEMENTS`.
    settings : mapping, optional
        Values for some of the method's parameters, and, as ``refine.NAME``, for the
        refinement's.

    Returns
    -------
    ndarray of shape (size, size), uint8
        Soft mask, 0 for background to 255 for the most salient part; all zero where nothing
        stands out.

    Raises
    ------
    ValueError
        If the image is not (H, W, 3) uint8, the size not positive, or a name or value unknown.

    Examples
    --------
    >>> saliency(np.full((30, 40, 3), 200, np.uint8), size=64).max()
    np.uint8(0)
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"image must be (H, W, 3) uint8 with H, W >= 1, got {image.shape} {image.dtype}"
        )
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    return MaskRecipe.named(method, refine, settings)(image, size)
