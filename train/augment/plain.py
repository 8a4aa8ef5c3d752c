"""The augmentation in plain torch: fixed shapes, no subsets, so that it compiles as one graph."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dilo.train.augment.table import (
    FACTOR,
    GRAYED,
    LEFT,
    LEVEL,
    MASK,
    ORDER,
    PICTURE,
    TALL,
    TAPS,
    TOP,
    TURN,
    WIDE,
)
from dilo.train.data.draws import CONTRAST, HUE, SATURATION

#: Stands for the chroma of gray, which has no hue.
TINY = 1e-12

#: Red, green and blue of a batch, each (B, H, W).
Planes = tuple[Tensor, Tensor, Tensor]


def augment_plainly(
    images: Tensor, masks: Tensor, pictures: Tensor, table: Tensor, order: Sequence[str]
) -> Tensor:
    """Paste, colour and blur views, whatever each draws by the same operations.

    Parameters
    ----------
    images : Tensor of shape (B, 3, s, s), uint8
        Crops.
    masks : Tensor of shape (M, 1, s, s), uint8
        What the table counts.
    pictures : Tensor of shape (N, 3, t, t), uint8
        Backgrounds.
    table : Tensor of shape (B, K), float32
        What `view_table` returns, on the device of the images.
    order : sequence of {"jitter", "gray", "blur"}
        In which order the colours are changed.

    Returns
    -------
    Tensor of shape (B, 3, s, s), float32
        RGB in [0, 1].
    """
    result = _start(images, masks, pictures, table)
    if "blur" not in order:
        return _recolour(result, table, order)
    place = order.index("blur")
    result = _recolour(result, table, order[:place])
    result = _blur(_blur(result, table[:, TAPS:], 3), table[:, TAPS:], 2)
    return _recolour(result, table, order[place + 1 :])


def _recolour(images: Tensor, table: Tensor, names: Sequence[str]) -> Tensor:
    """Jitter and gray, in an order: pixel by pixel, so that they compile to one loop."""
    if not names:
        return images
    rgb = _planes(images.unbind(1))
    for name in names:
        if name == "jitter":
            rgb = _jitter(rgb, table)
        else:
            luma, gray = _luma(rgb), _column(table, GRAYED) > 0
            rgb = _planes([torch.where(gray, luma, plane) for plane in rgb])
    return torch.stack(rgb, 1)


def _column(table: Tensor, index: int) -> Tensor:
    """Take a number of each view, (B, 1, 1)."""
    return table[:, index, None, None]


def _planes(planes: Sequence[Tensor]) -> Planes:
    """Name three planes as what they are."""
    red, green, blue = planes
    return red, green, blue


def _start(images: Tensor, masks: Tensor, pictures: Tensor, table: Tensor) -> Tensor:
    """Paste each view on what lies behind it; with an alpha of 1, it stays as it is."""
    pixels = images / 255
    if not len(masks):
        return pixels
    rows = table[:, MASK].long()
    alpha = torch.where(_column(table, MASK) < 0, 1, masks[rows.clamp(min=0), 0] / 255)
    behind = table[:, LEVEL, None, None, None].expand_as(pixels)
    if len(pictures):
        on_gray = table[:, PICTURE, None, None, None] < 0
        behind = torch.where(on_gray, behind, _behind(pictures, table, pixels.shape[2:]))
    return torch.lerp(behind, pixels, alpha[:, None])


def _behind(pictures: Tensor, table: Tensor, size: Sequence[int]) -> Tensor:
    """Cut the box of each view's picture, which is enlarged if anything: bilinear."""
    rows = table[:, PICTURE].long().clamp(min=0)[:, None, None]
    top, bottom, down = _neighbours(table[:, TOP], table[:, TALL], size[0], pictures.shape[2])
    left, right, across = _neighbours(table[:, LEFT], table[:, WIDE], size[1], pictures.shape[3])
    top, bottom, left, right = top[:, :, None], bottom[:, :, None], left[:, None], right[:, None]
    down, across = down[:, None, :, None], across[:, None, None]

    def pick(y: Tensor, x: Tensor) -> Tensor:
        return (pictures[rows, :, y, x] / 255).permute(0, 3, 1, 2)

    upper = torch.lerp(pick(top, left), pick(top, right), across)
    return torch.lerp(upper, torch.lerp(pick(bottom, left), pick(bottom, right), across), down)


def _neighbours(
    start: Tensor, length: Tensor, size: int, available: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the two pixels that each of `size` is between, and how near it is to the second."""
    places = torch.arange(size, device=start.device) + 0.5
    places = start[:, None] + places * (length / size)[:, None] - 0.5
    before = places.floor()
    first = before.long()
    last = available - 1
    return first.clamp(0, last), (first + 1).clamp(0, last), places - before


def _luma(rgb: Planes) -> Tensor:
    """Mix colours to the luma of ITU-R BT.601, with torchvision's weights."""
    red, green, blue = rgb
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def _jitter(rgb: Planes, table: Tensor) -> Planes:
    """Jitter the colours by four operations in each view's own order.

    The mean luma is wanted where contrast has its turn: it is found by going through the
    operations before, whose results are not kept.
    """
    ahead, luma = rgb, torch.zeros_like(rgb[0])
    for position in range(3):
        turn = _column(table, ORDER + position) == CONTRAST
        luma = torch.where(turn, _luma(ahead), luma)
        ahead = _operation(ahead, table, position)
    luma = torch.where(_column(table, ORDER + 3) == CONTRAST, _luma(ahead), luma)
    mean = luma.mean((1, 2), keepdim=True)
    for position in range(4):
        rgb = _operation(rgb, table, position, mean)
    return rgb


def _operation(rgb: Planes, table: Tensor, position: int, mean: Tensor | None = None) -> Planes:
    """Do the operation at a position, whichever it is; of contrast without a mean, anything."""
    code, factor = _column(table, ORDER + position), _column(table, FACTOR + position)
    turn = _column(table, TURN)
    zero = torch.zeros_like(factor)
    addend = torch.where(code == SATURATION, _luma(rgb), zero if mean is None else mean)
    addend = addend * torch.where((code == SATURATION) | (code == CONTRAST), 1 - factor, zero)
    turned = (code == HUE) & (turn != 0)
    planes = [
        torch.where(turned, hued, (plane * factor + addend).clamp(0, 1))
        for hued, plane in zip(_turn_hue(rgb, turn), rgb, strict=True)
    ]
    return _planes(planes)


def _turn_hue(rgb: Planes, turn: Tensor) -> list[Tensor]:
    """Turn the hue, keeping the saturation and value of HSV.

    A channel falls below the largest by the chroma times a trapezoid of the hue, the same
    for all three but for its phase; so the way back from HSV needs no table of six cases.
    """
    red, green, blue = rgb
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    share = chroma.clamp(min=TINY)
    # In sixths of a turn; red is 0, green 2, blue 4.
    green_or_blue = torch.where(value == green, (blue - red) / share + 2, (red - green) / share + 4)
    hue = torch.where(value == red, (green - blue) / share, green_or_blue) + turn
    # How far each angle is from the middle of the trapezoid, the shorter way round.
    away = [
        (angle - 6 * torch.floor(angle / 6 + 0.5)).abs() for angle in (hue + 3, hue + 1, hue - 1)
    ]
    return [value - chroma * (2 - distance).clamp(0, 1) for distance in away]


def _blur(images: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Blur each view along an axis by its own weights; the edge pixels go on beyond the edge."""
    places = torch.arange(images.shape[axis], device=images.device)
    last = images.shape[axis] - 1
    weights = taps.unbind(1)
    result = images * weights[0][:, None, None, None]
    for reach, weight in enumerate(weights[1:], 1):
        before = images.index_select(axis, (places - reach).clamp(min=0))
        after = images.index_select(axis, (places + reach).clamp(max=last))
        result = result + (before + after) * weight[:, None, None, None]
    return result
