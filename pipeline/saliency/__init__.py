"""Saliency methods by name, and `saliency`: any image to a square, soft 8-bit mask."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.method import Method, Refinement
from dilo.pipeline.saliency.methods import METHODS, REFINEMENTS
from dilo.pipeline.saliency.network import NetworkMethod
from dilo.pipeline.saliency.networkmasks import open_masks
from dilo.pipeline.saliency.networkparameters import NetworkParameters
from dilo.pipeline.saliency.parameters import Parameters
from dilo.pipeline.saliency.recipe import MaskRecipe, recipe_by_weights
from dilo.pipeline.saliency.weights import weights_file

__all__ = [
    "METHODS",
    "REFINEMENTS",
    "MaskRecipe",
    "Method",
    "NetworkMethod",
    "NetworkParameters",
    "Parameters",
    "Refinement",
    "saliency",
]


def saliency(
    image: NDArray[np.uint8],
    method: str = "rbd",
    *,
    size: int | None = None,
    refine: str | None = None,
    settings: Mapping[str, Any] | None = None,
    weights: Path | str | None = None,
    device: str = "cpu",
) -> NDArray[np.uint8]:
    """Compute the saliency mask of an image squashed to a square.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB image of any size from 1 x 1 up.
    method : str, default "rbd"
        A key of `METHODS`.
    size : int, optional
        Side of the mask in pixels, whatever the image's shape; unless given, 224, or what a
        network makes.
    refine : str, optional
        A key of `REFINEMENTS`.
    settings : mapping, optional
        Values for some of the method's parameters, and, as ``refine.NAME``, for the
        refinement's.
    weights : Path or str, optional
        Of a network: its file of weights, or the run that trained it. The network is opened for
        this image alone; for many, open it once by
        `dilo.pipeline.saliency.networkmasks.open_masks`.
    device : str, default "cpu"
        Of a network: where it computes, as torch names it.

    Returns
    -------
    ndarray of shape (size, size), uint8
        Soft mask, 0 for background to 255 for the most salient part; all zero where nothing
        stands out.

    Raises
    ------
    ValueError
        If the image is not (H, W, 3) uint8, the size not positive, a name or value unknown, or
        weights are missing or needless.
    DiloError
        If the weights do not fit their network, or torch is not installed.

    Examples
    --------
    >>> saliency(np.full((30, 40, 3), 200, np.uint8), size=64).max()
    np.uint8(0)
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"image must be (H, W, 3) uint8 with H, W >= 1, got {image.shape} {image.dtype}"
        )
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    weights = Path(weights) if weights is not None else None
    recipe = recipe_by_weights(method, refine, settings or {}, weights)
    if not recipe.is_network:
        return recipe(image, recipe.mask_size(size))
    if weights is None:
        raise ValueError(f"weights must be given for {method}, which is a network, got none")
    return open_masks(recipe, weights_file(weights), device)(image, recipe.mask_size(size))
