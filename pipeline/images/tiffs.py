"""TIFF of samples that Pillow does not read: colours in floating point, or of 32 bits."""

import io
import struct

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from dilo.pipeline.errors import ImageError

STARTS = (b"II*\0", b"MM\0*")
#: Tags of the file's first directory.
_WIDTH, _HEIGHT, _BITS, _FORMAT = 256, 257, 258, 339
_SAMPLE_KINDS = {1: "whole numbers", 2: "signed numbers", 3: "floating point"}


def tiff_shape(content: bytes) -> tuple[int, int]:
    """Read the height and width of a TIFF's first picture from its header."""
    try:
        tags = _tags(content)
    except (struct.error, SyntaxError, IndexError, TypeError, ValueError, OSError):
        raise ImageError("not an image that can be read: a TIFF with a broken header") from None
    height, width = tags.get(_HEIGHT), tags.get(_WIDTH)
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise ImageError("not an image: a TIFF whose header says no size")
    return height, width


def tiff_samples(content: bytes) -> NDArray[np.number]:
    """Read the samples of a TIFF that Pillow does not take: (H, W, 3), red, green and blue."""
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or (pixels.ndim == 3 and pixels.shape[2] < 3):
        raise ImageError(f"a TIFF of unsupported samples, {_describe_samples(content)}")
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    return np.asarray(pixels[:, :, 2::-1])


def _describe_samples(content: bytes) -> str:
    """Describe the samples: bits, kind, and what to do."""
    tags = _tags(content)
    bits, kind = tags.get(_BITS, 1), tags.get(_FORMAT, 1)
    bits = bits if isinstance(bits, tuple) else (bits,)
    kind = kind[0] if isinstance(kind, tuple) and kind else kind
    depths = " + ".join(map(str, bits[:4]))
    return (
        f"{depths} bits, {_SAMPLE_KINDS.get(kind, 'unknown')}, or damaged: save it as JPEG or PNG"
    )


def _tags(content: bytes) -> ImageFileDirectory_v2:
    """Read the directory of the first picture."""
    file = io.BytesIO(content)
    directory = ImageFileDirectory_v2(file.read(8))
    file.seek(directory.next)
    directory.load(file)
    return directory
