"""Images that are hard on a saliency method: those with nothing in them, and odd ones."""

import numpy as np
from numpy.typing import NDArray

RNG = np.random.default_rng(0)


def plain(color: object, shape: tuple[int, int] = (50, 60)) -> NDArray[np.uint8]:
    """Paint all of an image."""
    return np.full((*shape, 3), color, np.uint8)


def halves() -> NDArray[np.uint8]:
    """Paint two halves."""
    image = plain(30, (100, 120))
    image[:, 60:] = 200
    return image


def square(shape: tuple[int, int] = (100, 120), pixels: slice = slice(30, 70)) -> NDArray[np.uint8]:
    """Paint a red square on dark gray."""
    image = plain(30, shape)
    image[pixels, pixels] = (200, 50, 50)
    return image


NOTHING = {
    "gray": plain(77),
    "black": plain(0),
    "white": plain(255),
    "colour": plain((255, 3, 17)),
    "one-pixel": plain(9, (1, 1)),
}
ODD = {
    "halves": halves(),
    "square": square(),
    "square-unresized": square((160, 160)),
    "dot": square(pixels=slice(50, 51)),
    "wide": RNG.integers(0, 256, (3, 900, 3), dtype=np.uint8),
    "tall": RNG.integers(0, 256, (900, 3, 3), dtype=np.uint8),
    "sliver": RNG.integers(0, 256, (1, 40000, 3), dtype=np.uint8),
    "noise": RNG.integers(0, 256, (150, 200, 3), dtype=np.uint8),
    "faint-noise": RNG.integers(100, 103, (150, 200, 3), dtype=np.uint8),
    "gray-noise": np.repeat(RNG.integers(0, 256, (90, 80, 1), dtype=np.uint8), 3, axis=2),
    "read-only-view": np.broadcast_to(square()[:, :1], (100, 120, 3))[::-1],
    "colours-reversed": square()[:, :, ::-1],
}
IMAGES = NOTHING | ODD
