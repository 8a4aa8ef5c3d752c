"""Cut boxes out of pictures and resize them, a batch at once, on any device."""

import torch
from torch import Tensor


def resample(pictures: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
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


def _filters(start: Tensor, length: Tensor, available: int, wanted: int) -> Tensor:
    """Weigh `available` pixels for each of `wanted` ones: (B, wanted, available)."""
    device = start.device
    step = (length / wanted)[:, None]
    centers = start[:, None] + (torch.arange(wanted, device=device) + 0.5) * step
    pixels = torch.arange(available, device=device) + 0.5
    # A triangle, wider where several pixels become one.
    reach = step.abs().clamp(min=1)[..., None]
    weights = (1 - (pixels - centers[..., None]).abs() / reach).clamp(min=0)
    return weights / weights.sum(2, keepdim=True)
