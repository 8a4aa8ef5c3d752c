"""All numbers of a batch of views in one table, which goes to the device in one copy."""

import math
from typing import Final

import torch
from torch import Tensor

from dilo.train.augment.backgrounds import BackgroundBank
from dilo.train.data.dataset import ViewParams
from dilo.train.data.draws import BRIGHTNESS, CONTRAST, GRAY, HUE, SATURATION
from dilo.train.recipes.recipe import ViewsRecipe

#: Columns: the row of its mask, -1 for a view that is not pasted; the gray that it is pasted on, in
#: [0, 1]; the picture of the bank, -1 for gray; the box of the picture that lies behind the view,
#: in pixels, from where it starts to where the view's last pixel ends.
MASK: Final = 0
LEVEL: Final = 1
PICTURE: Final = 2
TOP: Final = 3
LEFT: Final = 4
TALL: Final = 5
WIDE: Final = 6
#: Whether the colours are dropped; the turn of the hue, in sixths of a circle.
GRAYED: Final = 7
TURN: Final = 8
#: The four operations of the jitter in their order, and the factor of each.
ORDER: Final = 9
FACTOR: Final = 13
#: From here on, weights of the blur: of the pixel itself, then of those beside it, outwards.
TAPS: Final = 17

#: Where the Gaussian ends, in sigmas: what is left out is under half a gray level at any edge.
TRUNCATE: Final = 3.0
#: A weight that single precision does not see; a processor takes long over the smallest numbers.
NOTHING: Final = 1e-9


def view_table(
    parameters: ViewParams, masks: int, views: ViewsRecipe, bank: BackgroundBank | None = None
) -> Tensor:
    """Write the draws of a batch as numbers that need no other shape for another draw.

    Parameters
    ----------
    parameters : ViewParams
        B draws, on the CPU.
    masks : int
        How many masks there are: one a view, or one for each view that is pasted.
    views : ViewsRecipe
        Its largest blur decides how many weights there are.
    bank : BackgroundBank, optional
        What is pasted on but gray.

    Returns
    -------
    Tensor of shape (B, 17 + radius + 1), float32
        On the CPU. What a view does not do is there as what changes nothing: a factor of 1, a turn
        of 0, a blur whose first weight is 1.

    Raises
    ------
    ValueError
        If the masks are too few, or there is no bank and a view is not pasted on gray.
    """
    count, paste = len(parameters.paste), parameters.paste
    if masks not in (count, pasted := int(paste.sum())):
        raise ValueError(
            f"masks must be of each of {count} views or of the {pasted} that are pasted, "
            f"got {masks}"
        )
    table = torch.empty(count, TAPS + _radius(views) + 1)
    rows = torch.arange(count) if masks == count else paste.cumsum(0) - 1
    table[:, MASK] = torch.where(paste, rows, -1)
    table[:, LEVEL] = parameters.gray_level / 255
    table[:, PICTURE] = _pictures(parameters, bank)
    table[:, TOP:GRAYED] = parameters.background_box
    table[:, GRAYED] = parameters.gray.float()
    table[:, TURN] = torch.where(parameters.jitter, 6 * parameters.hue, 0)
    table[:, ORDER:FACTOR] = parameters.order.float()
    factors = torch.ones(count, 4)
    factors[:, BRIGHTNESS] = parameters.brightness
    factors[:, CONTRAST] = parameters.contrast
    factors[:, SATURATION] = parameters.saturation
    factors[:, HUE] = 1  # as a blend, nothing
    factors[~parameters.jitter] = 1
    table[:, FACTOR:TAPS] = factors.gather(1, parameters.order)
    table[:, TAPS:] = _taps(parameters.blur_sigma, _radius(views))
    return table


def _radius(views: ViewsRecipe) -> int:
    """Return how far a blur reaches, by the recipe's largest: a view depends on no other view."""
    return math.ceil(TRUNCATE * views.blur_sigma[1]) if "blur" in views.order else 0


def _pictures(parameters: ViewParams, bank: BackgroundBank | None) -> Tensor:
    """Find the picture behind each view, -1 for gray or none."""
    drawn = parameters.paste & (parameters.kind != GRAY)
    if bank is None:
        if count := int(drawn.sum()):
            raise ValueError(f"bank must be given for pastes not on gray, got {count}")
        return torch.full((len(drawn),), -1)
    return torch.where(drawn, bank.index(parameters.kind, parameters.pick), -1)


def _taps(sigmas: Tensor, radius: int) -> Tensor:
    """Weigh a pixel and those on one side of it by each view's Gaussian."""
    offsets = torch.arange(radius + 1)
    # Those beside it count twice, once for each side.
    weights = torch.exp(-0.5 * (offsets / sigmas.clamp(min=1e-3)[:, None]) ** 2)
    weights /= 2 * weights.sum(1, keepdim=True) - 1
    weights[weights < NOTHING] = 0
    return torch.where((sigmas > 0)[:, None], weights, (offsets == 0).float())
