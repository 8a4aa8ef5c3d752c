"""Windows in textures: cut anywhere, the picture repeated where it is too small."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.backgrounds.windows import Box


def texture_windows(
    shape: tuple[int, int], side: int, count: int, rng: np.random.Generator
) -> list[Box]:
    """Draw square windows in the endlessly repeated texture.

    Parameters
    ----------
    shape : (int, int)
        The texture's height H and width W, in pixels.
    side : int
        Side of each window, in pixels.
    count : int
        How many windows; they may overlap, and be the same.
    rng : Generator
        Two numbers are taken for each window, so more of them begin with the same.

    Returns
    -------
    list of (int, int, int, int)
        Top, left, height, width. Along an axis where the texture is at least `side`, each
        window that lies within is as likely; where it is smaller, each window that begins
        within.

    Raises
    ------
    ValueError
        If a side or the count is less than 1.
    """
    if min(shape) < 1 or side < 1 or count < 1:
        raise ValueError(
            f"shape, side and count must be at least 1, got {shape}, {side} and {count}"
        )
    height, width = (length - side + 1 if length >= side else length for length in shape)
    # By hand: numpy may change how it draws integers, but not these numbers.
    uniform = rng.random((count, 2)).tolist()
    return [(int(top * height), int(left * width), side, side) for top, left in uniform]


def tiled(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Cut a box out of the endlessly repeated picture.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, 3), uint8
        The picture.
    box : (int, int, int, int)
        Top, left, height h, width w, in pixels; it may go over any edge, any number of times.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        A copy.

    Examples
    --------
    >>> pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    >>> tiled(pixels, (1, 2, 2, 4))[:, :, 0]
    array([[5, 3, 4, 5],
           [2, 0, 1, 2]], dtype=uint8)
    """
    top, left, height, width = box
    rows = np.take(pixels, range(top, top + height), axis=0, mode="wrap")
    return np.take(rows, range(left, left + width), axis=1, mode="wrap")
