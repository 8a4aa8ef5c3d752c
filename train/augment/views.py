"""The device's share of a batch of views: paste, colours, blur, and the space of the result."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from dilo.train.augment.backgrounds import BackgroundBank
from dilo.train.augment.color import to_color_space
from dilo.train.augment.paste import paste
from dilo.train.data.dataset import ViewParams
from dilo.train.data.draws import BRIGHTNESS, CONTRAST, GRAY, HUE, SATURATION
from dilo.train.recipes.recipe import ViewsRecipe
from dilo.train.runtime.devices import move

#: Where the Gaussian ends, in sigmas: what is left out is under half a gray level at any edge.
TRUNCATE = 3.0
#: Stands for the chroma of gray, which has no hue.
TINY = 1e-12
#: On a CPU, how many values go through all the steps together, so that they stay in its cache.
CACHED = 2**20


@torch.no_grad()
def augment(
    images: Tensor,
    masks: Tensor,
    parameters: ViewParams,
    views: ViewsRecipe,
    bank: BackgroundBank | None = None,
) -> Tensor:
    """Paste, colour, blur and normalise a batch of views, each by its own draw.

    Parameters
    ----------
    images : Tensor of shape (B, 3, s, s), uint8
        Crops, on any device.
    masks : Tensor of shape (B, 1, s, s), uint8
        Their masks, on the same device.
    parameters : ViewParams
        The draws, on the CPU, so that nothing waits for the device.
    views : ViewsRecipe
        `order` of the colours, the largest blur, and the `space` of the result.
    bank : BackgroundBank, optional
        Backgrounds, on the same device; unless given, all pastes must be on gray.

    Returns
    -------
    Tensor of shape (B, 3, s, s), float32
        In the space that the recipe names: by default, normalised by ImageNet's mean and
        standard deviation.

    Raises
    ------
    ValueError
        If there is not one row of parameters a view.
    """
    if len(parameters.paste) != len(images):
        raise ValueError(
            f"parameters must have one row for each of {len(images)} images, "
            f"got {len(parameters.paste)}"
        )
    device = images.device
    result = torch.empty(images.shape, dtype=torch.float32, device=device)
    together = max(1, CACHED // images[0].numel()) if device.type == "cpu" else len(images)
    # Blur is a convolution: a caller's autocast would do it in half precision.
    with torch.autocast(device.type, enabled=False):
        for chunk in (slice(i, i + together) for i in range(0, len(images), together)):
            rows = parameters.rows(chunk)
            colours = _paste(images[chunk] / 255, masks[chunk], rows, bank)
            result[chunk] = to_color_space(_colours(colours, rows, views), views.space)
    return result


def _paste(
    images: Tensor, masks: Tensor, parameters: ViewParams, bank: BackgroundBank | None
) -> Tensor:
    """Paste views on their backgrounds: first on the gray ones, then on those of the bank."""
    device = images.device
    gray = parameters.paste & (parameters.kind == GRAY)
    if gray.any():
        levels = move(parameters.gray_level / 255, device)[:, None, None, None]
        images = paste(images, masks / 255, levels, move(gray, device))
    index = (parameters.paste & (parameters.kind != GRAY)).nonzero().squeeze(1)
    if len(index):
        if bank is None:
            raise ValueError(f"bank must be given for pastes not on gray, got {len(index)}")
        behind = bank.sample(parameters.rows(index))
        index = move(index, device)
        views, alpha = images.index_select(0, index), masks.index_select(0, index) / 255
        images.index_copy_(0, index, paste(views, alpha, behind))
    return images


def _colours(images: Tensor, parameters: ViewParams, views: ViewsRecipe) -> Tensor:
    """Jitter, gray and blur, in the recipe's order, each sample by its own draw."""
    steps: dict[str, tuple[Tensor, Callable[[Tensor, ViewParams], Tensor]]] = {
        "jitter": (parameters.jitter, _jitter),
        "gray": (parameters.gray, lambda part, _: _gray(part).repeat(1, 3, 1, 1)),
        "blur": (
            parameters.blur_sigma > 0,
            # The recipe's largest sigma, not the batch's: a view is to depend on no other view.
            lambda part, rows: _blur(part, rows.blur_sigma, views.blur_sigma[1]),
        ),
    }
    for name in views.order:
        selected, step = steps[name]
        images = _replace(images, selected, parameters, step)
    return images


def _replace(
    images: Tensor,
    selected: Tensor,
    parameters: ViewParams,
    step: Callable[[Tensor, ViewParams], Tensor],
) -> Tensor:
    """Replace, in place, the samples that `selected`, on the CPU, names by a step's result."""
    index = selected.nonzero().squeeze(1)
    if len(index) == 0:
        return images
    if len(index) == len(images):
        return step(images, parameters)
    rows = parameters.rows(index)
    index = move(index, images.device)
    return images.index_copy_(0, index, step(images.index_select(0, index), rows))


def _gray(images: Tensor) -> Tensor:
    """Mix (B, 3, H, W) to the luma of ITU-R BT.601, (B, 1, H, W), with torchvision's weights."""
    red, green, blue = images.unbind(1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)[:, None]


def _jitter(images: Tensor, parameters: ViewParams) -> Tensor:
    """Jitter the colours, each sample by its four operations in its own order."""
    factors = torch.empty(len(images), 4)
    factors[:, BRIGHTNESS] = parameters.brightness
    factors[:, CONTRAST] = parameters.contrast
    factors[:, SATURATION] = parameters.saturation
    factors[:, HUE] = 1  # as a blend, nothing
    factors = factors.gather(1, parameters.order)
    rest = 1 - factors
    # Of each position and sample: the weights of itself, its mean luma and its luma.
    blends = torch.stack(
        [factors, rest * (parameters.order == CONTRAST), rest * (parameters.order == SATURATION)]
    )
    weights = move(blends.permute(2, 0, 1).contiguous(), images.device)[..., None, None, None]
    for position in range(4):
        images = _blend(images, *weights[position])
        turn = (parameters.order[:, position] == HUE) & (parameters.hue != 0)
        images = _replace(images, turn, parameters, _hue)
    return images


def _blend(images: Tensor, itself: Tensor, mean: Tensor, luma: Tensor) -> Tensor:
    """Mix images with their mean luma and their luma, by weights of shape (B, 1, 1, 1)."""
    gray = _gray(images)
    reference = torch.addcmul(gray.mean((2, 3), keepdim=True) * mean, gray, luma)
    return torch.addcmul(reference, images, itself).clamp_(0, 1)


def _hue(images: Tensor, parameters: ViewParams) -> Tensor:
    """Turn the hue, keeping the saturation and value of HSV.

    A channel falls below the largest by the chroma times a trapezoid of the hue, the same
    for all three but for its phase; so the way back from HSV needs no table of six cases.
    """
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    # Which channel is the largest, as 0 and 1: products are faster than torch.where.
    most_red = (value == red).float()
    most_green = (value == green).float().mul_(1 - most_red)
    most_blue = 1 - most_red - most_green
    # In sixths of a turn; red is 0, green 2, blue 4.
    hue = most_red.mul_(green - blue).addcmul_(most_green, blue - red)
    hue.addcmul_(most_blue, red - green).div_(chroma.clamp(min=TINY))
    hue.add_(most_green, alpha=2).add_(most_blue, alpha=4)
    hue += move(6 * parameters.hue, images.device)[:, None, None]
    phases = torch.arange(3, -2, -2, device=images.device)[:, None, None]
    angle = hue[:, None] + phases
    # How far from the middle of the trapezoid, the shorter way round.
    away = torch.add(angle, (angle / 6).round_(), alpha=-6).abs_()
    fall = (2 - away).clamp_(0, 1)
    return torch.addcmul(value[:, None], chroma[:, None], fall, value=-1)


def _blur(images: Tensor, sigmas: Tensor, largest: float) -> Tensor:
    """Blur each sample by its own Gaussian; the edge pixels go on beyond the edge."""
    count, channels, height, width = images.shape
    radius = math.ceil(TRUNCATE * largest)
    offsets = torch.arange(-radius, radius + 1)
    kernels = torch.softmax(-0.5 * (offsets / sigmas[:, None]) ** 2, dim=1)
    kernels = move(kernels, images.device).repeat_interleave(channels, 0)[:, None]
    padded = functional.pad(images, (radius,) * 4, mode="replicate")
    # One convolution for all samples: each channel of each sample is a group of its own.
    planes = padded.view(1, count * channels, *padded.shape[2:])
    planes = functional.conv2d(planes, kernels[..., None, :], groups=count * channels)
    planes = functional.conv2d(planes, kernels[..., None], groups=count * channels)
    return planes.view(count, channels, height, width)
