"""The worker's share of a view: the crop of the image, and the same crop of its mask."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dilo.train.draws import ViewDraw


def crop(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], draw: ViewDraw, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut a view out of an image and its mask.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    mask : ndarray of shape (S, S), uint8
        On the image squashed to S x S; any S. Only looked at if `draw` pastes.
    draw : ViewDraw
        Box, flip, paste and blending.
    size : int
        Side of the view, in pixels.

    Returns
    -------
    image : ndarray of shape (size, size, 3), uint8
        The box, resized with Pillow's antialiased bilinear filter, as torchvision does.
    mask : ndarray of shape (size, size), uint8
        The same box of the mask, blurred if `draw` blends; zero if `draw` does not paste.
    """
    top, left, height, width = draw.box
    cut = Image.fromarray(image[top : top + height, left : left + width])
    view = np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR))
    alpha = np.zeros((size, size), np.uint8)
    if draw.paste:
        alpha = _mask_crop(mask, draw, size, *image.shape[:2])
    if draw.flip:
        view, alpha = view[:, ::-1], alpha[:, ::-1]
    return np.ascontiguousarray(view), np.ascontiguousarray(alpha)


def _mask_crop(
    mask: NDArray[np.uint8], draw: ViewDraw, size: int, height: int, width: int
) -> NDArray[np.uint8]:
    """Blur the mask as if it had the image's size, then resize the box to the view."""
    rows, columns = mask.shape
    whole = Image.fromarray(mask)
    if draw.blend_sigma > 0:
        # Before the crop: what lies just outside of the box reaches into it.
        sigmas = draw.blend_sigma * columns / width, draw.blend_sigma * rows / height
        whole = whole.filter(ImageFilter.GaussianBlur(sigmas))
    top, left, box_height, box_width = draw.box
    box = (
        left * columns / width,
        top * rows / height,
        (left + box_width) * columns / width,
        (top + box_height) * rows / height,
    )
    return np.asarray(whole.resize((size, size), Image.Resampling.BILINEAR, box=box))
