"""Paste foregrounds onto other backgrounds, the mask being the alpha: of views, or of an image."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from dilo.pipeline.images.resizing import stretch_mask
from dilo.train.data.draws import GRAY, PasteDraw


def crop_and_resize(pictures: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a box of each picture by the antialiased bilinear filter, Pillow's and torchvision's.

    Parameters
    ----------
    pictures : Tensor of shape (B, C, H, W), float32
        Any values.
    boxes : Tensor of shape (B, 4), float32
        Top, left, height, width, in pixels, fractions allowed; a negative height or width
        runs from the other end, so that the result is mirrored.
    size : (int, int)
        Height and width of the result, in pixels.

    Returns
    -------
    Tensor of shape (B, C, height, width), float32
        What `PIL.Image.resize(size, BILINEAR, box=box)` makes of each, without its rounding:
        pixels beside the box, within the picture, have their share.
    """
    count, channels, height, width = pictures.shape
    top, left, tall, wide = boxes.to(pictures.device).unbind(1)
    rows = _filters(top, tall, height, size[0])
    columns = _filters(left, wide, width, size[1])
    # The filter is separable: two products of matrices for each picture, and no gathering.
    flat = pictures.reshape(count, channels * height, width) @ columns.mT
    return rows[:, None] @ flat.view(count, channels, height, size[1])


def _filters(start: Tensor, length: Tensor, available: int, size: int) -> Tensor:
    """Weigh `available` pixels for each of `size` ones: (B, wanted, available)."""
    device = start.device
    step = (length / size)[:, None]
    centers = start[:, None] + (torch.arange(size, device=device) + 0.5) * step
    pixels = torch.arange(available, device=device) + 0.5
    # A triangle, wider where several pixels become one.
    reach = step.abs().clamp(min=1)[..., None]
    weights = (1 - (pixels - centers[..., None]).abs() / reach).clamp(min=0)
    return weights / weights.sum(2, keepdim=True)


def paste(
    images: Tensor, masks: Tensor, backgrounds: Tensor, selected: Tensor | None = None
) -> Tensor:
    """Paste foregrounds onto other backgrounds, the masks serving as alpha.

    Parameters
    ----------
    images : Tensor of shape (B, 3, H, W), float
        In [0, 1].
    masks : Tensor of shape (B, 1, H, W), float
        How much is foreground, in [0, 1].
    backgrounds : Tensor of shape (B, 3, H, W), float, or broadcastable to it
        In [0, 1]; (B, 1, 1, 1) is one gray level a sample.
    selected : Tensor of shape (B,), bool, optional
        Which samples to paste, unless all; the others are returned bit for bit.

    Returns
    -------
    Tensor of shape (B, 3, H, W), float
        ``images * masks + backgrounds * (1 - masks)``.

    References
    ----------
    .. [1] N. Zhao, Z. Wu, R. W. H. Lau and S. Lin, "Distilling Localization for
       Self-Supervised Representation Learning", AAAI 2021, section "Copy-and-paste".
    """
    # lerp at weight 1 is its end exactly, so no sample needs to be picked out.
    alpha = masks if selected is None else masks.masked_fill(~selected[:, None, None, None], 1)
    return torch.lerp(backgrounds, images, alpha)


def paste_image(
    image: Tensor, alpha: NDArray[np.uint8], draw: PasteDraw, picture: Tensor | None = None
) -> Tensor:
    """Paste the foreground of one image, at the image's own size.

    Parameters
    ----------
    image : Tensor of shape (3, H, W), float32
        RGB in [0, 1].
    alpha : ndarray of shape (h, w), uint8
        How much is foreground, 0 to 255, as `mask_to_alpha` gives it; of the image squashed to this
        size.
    draw : PasteDraw
        Background and blending. Its `background_box` is what lies behind the whole image.
    picture : Tensor of shape (3, s, s), float32, optional
        The background, in [0, 1], where it is not gray.

    Returns
    -------
    Tensor of shape (3, H, W), float32
        The image on its other background.

    Raises
    ------
    ValueError
        If there is no picture, and the draw is not on gray.
    """
    height, width = image.shape[1:]
    edge = Image.fromarray(stretch_mask(alpha, (height, width)))
    if draw.blend_sigma > 0:
        edge = edge.filter(ImageFilter.GaussianBlur(draw.blend_sigma))
    weight = torch.from_numpy(np.array(edge)).to(image.device) / 255
    if draw.kind == GRAY:
        behind = torch.full((1, 1, 1, 1), draw.gray_level / 255, device=image.device)
    elif picture is None:
        raise ValueError(f"picture must be given for a background of kind {draw.kind}, got None")
    else:
        boxes = torch.tensor([draw.background_box])
        behind = crop_and_resize(picture.to(image.device)[None], boxes, (height, width))
    return paste(image[None], weight, behind)[0]
