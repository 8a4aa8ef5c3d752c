"""Pixels as JPEGs, reduced where they are too many."""

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

#: Half the colour in each direction, as cameras keep it: a fifth smaller, and decoded faster.
_SUBSAMPLING = "420"


def encode_reduced(pixels: NDArray[np.uint8], side: int, quality: int) -> bytes:
    """Make a JPEG of an image, reduced to a shorter side of at most `side` pixels."""
    shorter = min(pixels.shape[:2])
    if shorter > side:
        height, width = ((2 * n * side + shorter) // (2 * shorter) for n in pixels.shape[:2])
        reduced = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
        pixels = np.asarray(reduced)
    jpeg: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality, "RGB", _SUBSAMPLING, fastdct=False
    )
    return jpeg
