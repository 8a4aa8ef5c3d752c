"""The worker's share of a view: the crop of the image, and the same crop of its mask."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import announce_compiling
from dilo.train.data.draws import Box, ViewDraw
from dilo.train.data.resize import blur, resize
from dilo.train.recipes.recipe import PasteRecipe


def crop(
    image: NDArray[np.uint8], mask: NDArray[np.uint8] | None, draw: ViewDraw, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Cut a view out of an image and its mask.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    mask : ndarray of shape (S, S), uint8, or None
        On the image squashed to S x S; any S. None costs nothing: for a view that neither pastes
        nor is pooled by its mask.
    draw : ViewDraw
        Box, flip, paste and blending.
    size : int
        Side of the view, in pixels.

    Returns
    -------
    image : ndarray of shape (size, size, 3), uint8
        The box, resized with Pillow's antialiased bilinear filter, as torchvision does. In
        memory its channels lie one after the other, as torch wants them in a batch.
    mask : ndarray of shape (size, size), uint8, or None
        The same box of the mask, blurred if `draw` blends; None without a mask.
    """
    top, left, height, width = draw.box
    # Cut before: a pixel outside of the box adds nothing to it.
    region = image[top : top + height, left : left + width]
    view = resize(region, size, flip=draw.flip).transpose(1, 2, 0)
    if mask is None:
        return view, None
    sigma, shape = draw.paste.blend_sigma if draw.paste else 0.0, (image.shape[0], image.shape[1])
    return view, _mask_crop(mask, shape, draw.box, sigma, size, flip=draw.flip)


def compile_crops(say: Callable[[str], object] | None = None) -> None:
    """Compile what `crop` runs, if this machine has not yet done so.

    Before workers start: so each of them loads what is there, and none compiles it again.

    Parameters
    ----------
    say : callable, optional
        Writes a line for people, who may have to wait.
    """
    line = "compiling the crops: a few seconds, once per machine"
    with announce_compiling(say or str, line):
        mask = blur(np.zeros((2, 2), np.uint8), (1.0, 1.0))[..., None]
        for pixels in (mask, mask[:, :1]):
            resize(pixels, 1)


def _mask_crop(
    mask: NDArray[np.uint8],
    shape: tuple[int, int],
    box: Box,
    sigma: float,
    size: int,
    *,
    flip: bool,
) -> NDArray[np.uint8]:
    """Blur the mask as if it had the image's size, then resize the box to the view."""
    down, across = mask.shape[0] / shape[0], mask.shape[1] / shape[1]
    if sigma > 0:
        # Before the crop: what lies just outside of the box reaches into it.
        mask = blur(mask, (sigma * across, sigma * down))
    top, left, height, width = box
    rows = top * down, (top + height) * down
    columns = left * across, (left + width) * across
    alpha: NDArray[np.uint8]
    (alpha,) = resize(mask[..., None], size, rows=rows, columns=columns, flip=flip)
    return alpha


def object_share(mask: NDArray[np.uint8], shape: tuple[int, int], box: Box) -> float:
    """Measure how much of an object a box shows.

    Parameters
    ----------
    mask : ndarray of shape (h, w), uint8
        Saliency, of the image squashed to this size.
    shape : (int, int)
        Height and width of the image.
    box : (int, int, int, int)
        Top, left, height, width, in pixels of the image.

    Returns
    -------
    float
        The share of the sum of the mask that lies in the box, in [0, 1]; 1 of an empty mask.
    """
    total = int(mask.sum())
    rows = _covered(box[0], box[2], shape[0], mask.shape[0])
    columns = _covered(box[1], box[3], shape[1], mask.shape[1])
    return float(rows @ mask @ columns) / total if total else 1.0


def _covered(start: int, length: int, available: int, cells: int) -> NDArray[np.float64]:
    """Return how much of each cell of a line lies between two of its pixels."""
    edges = np.arange(cells + 1) * (available / cells)
    return np.diff(edges.clip(start, start + length)) * (cells / available)


def mask_to_alpha(mask: NDArray[np.uint8], recipe: PasteRecipe) -> NDArray[np.uint8]:
    """Make the alpha of a paste out of a cached mask, before it is blurred or resized.

    Parameters
    ----------
    mask : ndarray of shape (h, w), uint8
        Saliency, 0 to 255.
    recipe : PasteRecipe
        Its `alpha` and `threshold`.

    Returns
    -------
    ndarray of shape (h, w), uint8
        The very mask if the alpha is soft; else 255 where it reaches the threshold, and 0.
    """
    if recipe.alpha == "soft":
        return mask
    return np.where(mask >= 255 * recipe.threshold, np.uint8(255), np.uint8(0))
