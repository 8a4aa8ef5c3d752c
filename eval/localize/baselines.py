"""Maps as they are scored: stretched to 0..1, in 256 levels, and two that look at no pixel."""

import hashlib

import cv2
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.rng import generator

#: The center prior's standard deviation, as a share of the side.
CENTER_SIGMA = 0.25


#: Pixels from one random number to the next: the grain of a ResNet's activation map.
RANDOM_GRAIN = 32


#: Names the stream of the random maps' numbers.
_STREAM = 0x10CA


def center_map(size: int) -> NDArray[np.float64]:
    """Draw the center prior: what one gets who only knows that objects are photographed centred.

    Parameters
    ----------
    size : int
        Side in pixels.

    Returns
    -------
    ndarray of shape (size, size), float64
        A Gaussian about the centre, its sigma a quarter of the side.
    """
    offsets = np.arange(size) - (size - 1) / 2
    one = np.exp(-np.square(offsets / (CENTER_SIGMA * size)) / 2)
    return np.outer(one, one)


def random_map(path: str, size: int) -> NDArray[np.float64]:
    """Draw a map that knows nothing, as smooth as an activation map.

    Parameters
    ----------
    path : str
        The image's path, which alone decides the numbers.
    size : int
        Side in pixels.

    Returns
    -------
    ndarray of shape (size, size), float64
        Uniform numbers from 0 to 1, one for each 32 pixels and at least two a side, stretched
        bilinearly.
    """
    key = hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()[:8]
    cells = max(2, round(size / RANDOM_GRAIN))
    numbers = generator(int.from_bytes(key, "little"), _STREAM).random((cells, cells))
    return np.asarray(cv2.resize(numbers, (size, size), interpolation=cv2.INTER_LINEAR))
