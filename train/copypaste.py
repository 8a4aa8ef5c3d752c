"""Copy-paste: the foreground of an image on another background, by its mask."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def paste(images: Tensor, masks: Tensor, backgrounds: Tensor, where: Tensor) -> Tensor:
    """Paste foregrounds onto other backgrounds, the masks serving as soft alpha.

    Parameters
    ----------
    images : Tensor of shape (B, 3, H, W), float
        In [0, 1].
    masks : Tensor of shape (B, 1, H, W), float
        How much is foreground, in [0, 1]; never thresholded.
    backgrounds : Tensor of shape (B, 3, H, W), float, or broadcastable to it
        In [0, 1]; (B, 1, 1, 1) is one gray level a sample.
    where : Tensor of shape (B,), bool
        Which samples to paste; the others are returned bit for bit.

    Returns
    -------
    Tensor of shape (B, 3, H, W), float
        ``images * masks + backgrounds * (1 - masks)``.

    References
    ----------
    .. [1] N. Zhao, Z. Wu, R. W. H. Lau and S. Lin, "Distilling Localization for
       Self-Supervised Representation Learning", AAAI 2021, section "Copy-and-paste".
    """
    alpha = masks.masked_fill(~where[:, None, None, None], 1)
    # lerp at weight 1 is its end exactly, so no sample needs to be picked out.
    return torch.lerp(backgrounds, images, alpha)


def paste_picture(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], gray_level: int
) -> NDArray[np.uint8]:
    """Paste the foreground of one picture onto a gray level, for the eye.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    mask : ndarray of shape (H, W), uint8
        How much is foreground.
    gray_level : int
        The background, 0 to 255.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        What `paste` makes of it, rounded.
    """
    pasted = paste(
        torch.tensor(image).permute(2, 0, 1)[None] / 255,
        torch.tensor(mask)[None, None] / 255,
        torch.full((1, 1, 1, 1), gray_level / 255),
        torch.ones(1, dtype=torch.bool),
    )
    return (255 * pasted[0]).round().to(torch.uint8).permute(1, 2, 0).numpy()
