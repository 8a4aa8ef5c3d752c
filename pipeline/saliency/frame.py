"""An artificial frame round a picture, found by its straight edges."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.parameters import RbdParameters


def inside_frame(image: NDArray[np.uint8], parameters: RbdParameters) -> tuple[slice, slice]:
    """Find the picture inside an artificial frame.

    A row (column) near the top or bottom (left or right) of which most pixels are edges bounds
    a frame; the innermost one counts. If any side has one, sides without take the widest.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB image.
    parameters : RbdParameters
        The three that start with ``frame_``.

    Returns
    -------
    tuple of slice
        Rows and columns of the picture; the whole image where there is no frame.

    References
    ----------
    ``removeframe`` in the released code of Zhu et al., CVPR 2014.
    """
    edges = _edges(image, parameters.frame_edge)
    rows, columns = edges.mean(axis=1), edges.mean(axis=0)
    sides = [rows, rows[::-1], columns, columns[::-1]]
    widths = [
        _innermost(density, parameters.frame_reach, parameters.frame_density) for density in sides
    ]
    top, bottom, left, right = (width or max(widths) for width in widths)
    height, width = image.shape[:2]
    if top + bottom >= height or left + right >= width:  # a strip cannot give what a side can
        return slice(0, height), slice(0, width)
    return slice(top, height - bottom), slice(left, width - right)


def _innermost(density: NDArray[np.float64], reach: float, threshold: float) -> int:
    """Count the lines up to and with the last dense one; 0 where none is."""
    near = density[: int(reach * len(density))]
    dense = np.flatnonzero(near > threshold)
    return int(dense[-1]) + 1 if dense.size else 0


def _edges(image: NDArray[np.uint8], factor: float) -> NDArray[np.bool_]:
    """Sobel edges above `factor` times the mean squared gradient, one pixel thin."""
    # Whole numbers, so that equal neighbours are exactly equal and thin to the same side.
    gray = np.pad(image @ np.array([299, 587, 114]), 1, mode="edge")
    rows = gray[:-2] + 2 * gray[1:-1] + gray[2:]
    columns = gray[:, :-2] + 2 * gray[:, 1:-1] + gray[:, 2:]
    across = np.abs(rows[:, 2:] - rows[:, :-2])
    down = np.abs(columns[2:] - columns[:-2])
    squared = across**2 + down**2
    around = np.pad(squared, 1)  # outside the image there is no gradient
    peak_across = (around[1:-1, :-2] <= squared) & (squared > around[1:-1, 2:])
    peak_down = (around[:-2, 1:-1] <= squared) & (squared > around[2:, 1:-1])
    peak = ((across >= down) & peak_across) | ((down >= across) & peak_down)
    edges: NDArray[np.bool_] = (squared > factor * squared.mean()) & peak
    return edges
