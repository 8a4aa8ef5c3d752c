"""The colours that a network sees: RGB in [0, 1] to the standardised channels of a space."""

import functools

import torch
from torch import Tensor

#: Mean and standard deviation of ImageNet's red, green, blue in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def to_space(images: Tensor, space: str) -> Tensor:
    """Turn RGB into what a network takes.

    Parameters
    ----------
    images : Tensor of shape (B, 3, H, W), float32
        RGB in [0, 1].
    space : {"rgb", "unit", "lab", "ycbcr", "ydbdr"}
        As `views.space` of a recipe names it.

    Returns
    -------
    Tensor of shape (B, 3, H, W), float32
        Its channels.
    """
    if space == "unit":
        return images
    return normalise(images)


def normalise(images: Tensor) -> Tensor:
    """Standardise each channel with ImageNet's statistics.

    Parameters
    ----------
    images : Tensor of shape (B, 3, H, W), float
        RGB in [0, 1].

    Returns
    -------
    Tensor of shape (B, 3, H, W), float
        What a network takes.
    """
    mean, std = _statistics(images.device)
    return (images - mean).div_(std)


def denormalise(images: Tensor) -> Tensor:
    """Turn normalised images back into pictures.

    Parameters
    ----------
    images : Tensor of shape (B, 3, H, W), float
        As `normalise` returns them.

    Returns
    -------
    Tensor of shape (B, 3, H, W), uint8
        RGB.
    """
    mean, std = _statistics(images.device)
    return (images * std + mean).mul(255).round().clamp(0, 255).to(torch.uint8)


@functools.cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Keep ImageNet's mean and standard deviation on a device, each (3, 1, 1)."""
    mean, std = torch.tensor([MEAN, STD])[..., None, None].to(device)
    return mean, std
