"""The colours that a network sees: RGB in [0, 1] to the standardised channels of a space."""

import functools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

#: Mean and standard deviation of ImageNet's red, green, blue in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class _Mix(NamedTuple):
    """Three channels as weighted sums of three others, and what standardises them."""

    matrix: tuple[tuple[float, float, float], ...]
    offset: tuple[float, float, float]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


_NONE = (0.0, 0.0, 0.0)
_ONE = (1.0, 1.0, 1.0)

#: Matrices are scikit-image's; means and deviations of Lab and YCbCr are the CMC repository's,
#: of YDbDr PyContrast's.
_MIXES = {
    # Linear RGB to XYZ, as shares of the white point D65.
    "xyz": _Mix(
        (
            (0.412453, 0.357580, 0.180423),
            (0.212671, 0.715160, 0.072169),
            (0.019334, 0.119193, 0.950227),
        ),
        _NONE,
        _NONE,
        (0.95047, 1.0, 1.08883),
    ),
    # The cube roots of XYZ to L in [0, 100], a, b.
    "lab": _Mix(
        ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0)),
        (-16.0, 0.0, 0.0),
        (50.0, 6.025, -6.6895),
        (50.0, 92.208, 101.1675),
    ),
    # Y in [16, 235], Cb and Cr in [16, 240].
    "ycbcr": _Mix(
        ((65.481, 128.553, 24.966), (-37.797, -74.203, 112.0), (112.0, -93.786, -18.214)),
        (16.0, 128.0, 128.0),
        (116.151, 121.080, 132.342),
        (109.500, 111.855, 111.964),
    ),
    # Y in [0, 1], Db and Dr in [-1.333, 1.333].
    "ydbdr": _Mix(
        ((0.299, 0.587, 0.114), (-0.45, -0.883, 1.333), (-1.333, 1.116, 0.217)),
        _NONE,
        (0.457, -0.082, -0.052),
        (0.500, 1.331, 1.333),
    ),
}


def to_color_space(images: Tensor, space: str) -> Tensor:
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
        Its channels: of the last three spaces, luminance and two colour differences.

    References
    ----------
    .. [1] Y. Tian, D. Krishnan and P. Isola, "Contrastive Multiview Coding", ECCV 2020.
    """
    if space == "unit":
        return images
    if space == "rgb":
        return normalise(images)
    if space == "lab":
        linear = _curve(images, 2.4, shift=0.055, start=0.04045, slope=1 / 12.92)  # sRGB's
        images = _curve(_mix(linear, "xyz"), 1 / 3, start=0.008856, slope=7.787)  # CIELAB's
    return _mix(images, space)


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


def standardisation(space: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return what is subtracted from each channel of a space, and what it is divided by.

    Parameters
    ----------
    space : {"rgb", "unit", "lab", "ycbcr", "ydbdr"}
        As `views.space` of a recipe names it.

    Returns
    -------
    mean, std : tuple of float
        Three each: of RGB in [0, 1], L in [0, 100], YCbCr in [16, 240], YDbDr's Y in [0, 1].
    """
    if space == "unit":
        return _NONE, _ONE
    return (MEAN, STD) if space == "rgb" else (_MIXES[space].mean, _MIXES[space].std)


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


def _curve(
    values: Tensor, power: float, *, start: float, slope: float, shift: float = 0.0
) -> Tensor:
    """Raise ((values + shift) / (1 + shift)) to a power; below `start`, go on along a line."""
    # Clamped either side of the start, since torch.where costs more and a power of what is
    # below 0 is no number. On a CPU, log and exp take a third of the time of pow.
    result = values.clamp(min=start).add_(shift).div_(1 + shift).log_().mul_(power).exp_()
    return result.add_(values.clamp(max=start).sub_(start), alpha=slope)


def _mix(images: Tensor, name: str) -> Tensor:
    """Mix and standardise the channels of (B, 3, H, W), in one product."""
    matrix, offset = _affine(name, images.device)
    count = len(images)
    product = torch.baddbmm(
        offset.expand(count, 3, 1), matrix.expand(count, 3, 3), images.flatten(2)
    )
    return product.view(images.shape)


@functools.cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Keep ImageNet's mean and standard deviation on a device, each (3, 1, 1)."""
    mean, std = torch.tensor([MEAN, STD])[..., None, None].to(device)
    return mean, std


@functools.cache
def _affine(name: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Keep a mix on a device, with what standardises it: matrix (3, 3) and offset (3, 1)."""
    matrix, offset, mean, std = (np.array(part) for part in _MIXES[name])
    offset = (offset - mean) / std
    return (
        torch.from_numpy(matrix / std[:, None]).float().to(device),
        torch.from_numpy(offset[:, None]).float().to(device),
    )
