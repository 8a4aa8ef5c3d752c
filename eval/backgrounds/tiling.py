"""The background of an image: its object's box filled from a window without salience."""

import math

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.backgrounds.cropping import tile
from dilo.pipeline.backgrounds.windows import largest_windows

#: Saliency, 0 to 255, above which a pixel may belong to the object; as in dilo-prep backgrounds.
RESPONSE = 10
#: Shortest side of a window that is repeated, as a share of the picture's.
MIN_SIDE = 1 / 4


def background_of(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Take the object out of a picture, as the Backgrounds Challenge's Only-BG-T does.

    Parameters
    ----------
    pixels : ndarray of shape (S, S, 3), uint8
        The picture.
    mask : ndarray of shape (S, S), uint8
        Its saliency, 0 to 255.

    Returns
    -------
    ndarray of shape (S, S, 3), uint8 or None
        The picture; the smallest box around all that is salient is filled by repeating the
        largest box without salience, in step with itself. None where nothing is salient, for
        then the object was not found, or no such box has sides of S/4.

    References
    ----------
    .. [1] K. Xiao, L. Engstrom, A. Ilyas and A. Madry, "Noise or Signal: The Role of Image
       Backgrounds in Object Recognition", ICLR 2021.
    """
    salient = mask > RESPONSE
    rows, columns = (np.flatnonzero(salient.any(axis)) for axis in (1, 0))
    least = math.ceil(MIN_SIDE * len(mask))
    side = (len(mask), len(mask))
    windows = largest_windows(mask, side, response=RESPONSE, min_side=least, count=1)
    if not len(rows) or not windows:
        return None
    top, left, high, wide = windows[0]
    first, last, start, end = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    filled = pixels.copy()
    filled[first:last, start:end] = tile(
        pixels[top : top + high, left : left + wide],
        (int(first) - top, int(start) - left, int(last - first), int(end - start)),
    )
    return filled
