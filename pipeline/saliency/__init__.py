"""Saliency methods by name, and `saliency`: any image to a square, soft 8-bit mask."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.pipeline.saliency.parameters import RbdParameters

P = TypeVar("P")


@dataclass(frozen=True)
class Method(Generic[P]):
    """A saliency method: its parameters, and the function they are given to.

    Attributes
    ----------
    parameters : P
        Frozen dataclass of every number that decides a mask.
    function : callable
        From a square RGB image of shape (S, S, 3), uint8, and the parameters to saliency of
        shape (S, S), float64 in [0, 1].
    """

    parameters: P
    function: Callable[[NDArray[np.uint8], P], NDArray[np.float64]]

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Run the method with its parameters on a square RGB image."""
        return self.function(image, self.parameters)


def _rbd(image: NDArray[np.uint8], parameters: RbdParameters) -> NDArray[np.float64]:
    """Import on first use: SciPy and scikit-image would slow every command's start."""
    from dilo.pipeline.saliency.rbd import rbd

    return rbd(image, parameters)


METHODS: dict[str, Method[Any]] = {"rbd": Method(RbdParameters(), _rbd)}


def method_parameters(method: str) -> dict[str, Any]:
    """Give every parameter that decides a method's masks, ready for JSON.

    Parameters
    ----------
    method : str
        A key of `METHODS`.

    Returns
    -------
    dict
        Parameter names and values: numbers, strings and lists only.

    Raises
    ------
    ValueError
        If there is no such method.

    Examples
    --------
    >>> method_parameters("rbd")["superpixels"]
    250
    """
    values = dataclasses.asdict(_find(method).parameters)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def saliency(
    image: NDArray[np.uint8], method: str = "rbd", *, size: int = 224
) -> NDArray[np.uint8]:
    """Compute the saliency mask of an image squashed to a square.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB image of any size from 1 x 1 up.
    method : str, default "rbd"
        A key of `METHODS`.
    size : int, default 224
        Side of the mask in pixels; the image is resized to it, whatever its shape.

    Returns
    -------
    ndarray of shape (size, size), uint8
        Soft mask, 0 for background to 255 for the most salient part; all zero where nothing
        stands out.

    Raises
    ------
    ValueError
        If the image is not (H, W, 3) uint8, the size not positive or the method unknown.

    Examples
    --------
    >>> saliency(np.full((30, 40, 3), 200, np.uint8), size=64).max()
    np.uint8(0)
    """
    found = _find(method)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(
            f"image must be (H, W, 3) uint8 with H, W >= 1, got {image.shape} {image.dtype}"
        )
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    # Pillow's bilinear widens with the reduction, so a large image does not alias.
    squashed = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
    values = found(np.asarray(squashed))
    return np.floor(255.0 * values + 0.5).astype(np.uint8)


def _find(method: str) -> Method[Any]:
    """Look a method up by name."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {sorted(METHODS)}, got {method!r}")
    return METHODS[method]
