"""An artificial frame round a picture, found by its straight edges."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled
from dilo.pipeline.saliency.parameters import SuperpixelParameters


def inside_frame(image: NDArray[np.uint8], parameters: SuperpixelParameters) -> tuple[slice, slice]:
    """Find the picture inside an artificial frame.

    A row (column) near the top or bottom (left or right) of which most pixels are edges bounds
    a frame; the innermost one counts. If any side has one, sides without take the widest.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB image.
    parameters : SuperpixelParameters
        The three that start with ``frame_``.

    Returns
    -------
    tuple of slice
        Rows and columns of the picture; the whole image where there is no frame.

    References
    ----------
    ``removeframe`` in the released code of Zhu et al., CVPR 2014.
    """
    height, width = image.shape[:2]
    across, down = int(parameters.frame_reach * width), int(parameters.frame_reach * height)
    rows, columns = _edge_density(image, parameters.frame_edge, across, down)
    sides = [rows[:down], rows[::-1][:down], columns[:across], columns[::-1][:across]]
    widths = [_innermost(density, parameters.frame_density) for density in sides]
    top, bottom, left, right = (width or max(widths) for width in widths)
    if top + bottom >= height or left + right >= width:  # a strip cannot give what a side can
        return slice(0, height), slice(0, width)
    return slice(top, height - bottom), slice(left, width - right)


def _innermost(density: NDArray[np.float64], threshold: float) -> int:
    """Count the lines up to and with the last dense one; 0 where none is."""
    dense = np.flatnonzero(density > threshold)
    return int(dense[-1]) + 1 if dense.size else 0


@compiled
def _edge_density(
    image: NDArray[np.uint8], factor: float, across: int, down: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the share of edge pixels in each outer row and column; 0 further inside.

    An edge is where Sobel's squared gradient is above `factor` times its mean and a peak
    along the axis on which it changes more.
    """
    height, width, _ = image.shape
    horizontal, vertical = _gradients(image)
    squared = np.zeros((height + 2, width + 2), np.int64)  # outside the image there is none
    total = np.int64(0)
    for r in range(height):
        for c in range(width):
            gx, gy = np.int64(horizontal[r, c]), np.int64(vertical[r, c])
            value = gx * gx + gy * gy
            squared[r + 1, c + 1] = value
            total += value
    threshold = factor * (total / (height * width))
    rows, columns = np.zeros(height, np.int64), np.zeros(width, np.int64)
    for r in range(height):
        outer_row = r < down or r >= height - down
        for c in range(width):
            strength = squared[r + 1, c + 1]
            if strength <= threshold or not (outer_row or c < across or c >= width - across):
                continue
            gx, gy = abs(horizontal[r, c]), abs(vertical[r, c])
            peak = gx >= gy and squared[r + 1, c] <= strength and strength > squared[r + 1, c + 2]
            if peak or (
                gy >= gx and squared[r, c + 1] <= strength and strength > squared[r + 2, c + 1]
            ):
                rows[r] += 1
                columns[c] += 1
    return rows / width, columns / height


@compiled
def _gradients(image: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Sobel's gradients of lightness; whole numbers, so that equal neighbours thin alike."""
    height, width, _ = image.shape
    gray = np.empty((height + 2, width + 2), np.int32)
    for r in range(height):
        for c in range(width):
            pixel = image[r, c]
            gray[r + 1, c + 1] = 299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2]
    gray[1:-1, 0], gray[1:-1, -1] = gray[1:-1, 1], gray[1:-1, -2]
    gray[0], gray[-1] = gray[1], gray[-2]
    horizontal = np.empty((height, width), np.int32)
    vertical = np.empty((height, width), np.int32)
    for r in range(height):
        above, row, below = gray[r], gray[r + 1], gray[r + 2]
        for c in range(width):
            right = above[c + 2] + 2 * row[c + 2] + below[c + 2]
            horizontal[r, c] = right - above[c] - 2 * row[c] - below[c]
            under = below[c] + 2 * below[c + 1] + below[c + 2]
            vertical[r, c] = under - above[c] - 2 * above[c + 1] - above[c + 2]
    return horizontal, vertical
