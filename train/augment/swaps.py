"""Matched negatives: the foreground of another image on the background of a query."""

from typing import NamedTuple

import torch
from torch import Tensor

from dilo.train.augment.backgrounds import BackgroundBank
from dilo.train.augment.views import augment
from dilo.train.data.dataset import ViewParams
from dilo.train.recipes.recipe import ViewsRecipe
from dilo.train.runtime.devices import move


class Swaps(NamedTuple):
    """For each query of a batch, its background with the foreground of another image."""

    #: As the network sees them, (B, 3, H, W); what lies in a row without a swap means nothing.
    views: Tensor
    #: Whether a query has one, (B,), bool.
    present: Tensor


@torch.no_grad()
def swap_foregrounds(
    images: Tensor,
    masks: Tensor,
    parameters: ViewParams,
    views: ViewsRecipe,
    bank: BackgroundBank | None = None,
    *,
    has_mask: Tensor,
    min_coverage: float,
    group: int,
    dtype: torch.dtype = torch.float32,
) -> Swaps:
    """Put the foreground of the next image on the background of each query.

    Where the query is pasted, that is the background of its paste. Where it is not, its own
    foreground is covered too, by what the other image has in that place. Then the colours
    change by the draws of the query, so that both have the same background.

    Parameters
    ----------
    images : Tensor of shape (B, 3, s, s), uint8
        Crops of the queries, before any paste.
    masks : Tensor of shape (B, 1, s, s), uint8
        Masks of the crops, on the same device.
    parameters : ViewParams
        Draws of the queries, on the CPU.
    views : ViewsRecipe
        As for `augment`.
    bank : BackgroundBank, optional
        As for `augment`.
    has_mask : Tensor of shape (B,), bool
        Which images have a mask with enough in it, on the same device. One that has none
        neither gives its foreground nor has a swap.
    min_coverage : float
        Share of a crop that its mask must cover for a foreground to be there.
    group : int
        Samples that swap among each other: so many in a row; divides B.
    dtype : torch.dtype, default float32
        Of the views.

    Returns
    -------
    Swaps
        On the device of the images. A query has none if its image has no mask, or no other
        image of its group shows a foreground.

    References
    ----------
    .. [1] C. K. Ryali, D. J. Schwab and A. S. Morcos, "Characterizing and Improving the
       Robustness of Self-Supervised Learning through Background Augmentations", 2021.
    """
    shows_foreground = has_mask & (masks.float().mean((1, 2, 3)) >= 255 * max(min_coverage, 1e-6))
    donors, has_donor = next_in_group(shows_foreground, group)
    other_images, other_masks = images.index_select(0, donors), masks.index_select(0, donors)
    pasted = move(parameters.paste, images.device)[:, None, None, None]
    # Pasted queries are pasted below, on what lies behind them; the others here.
    alpha = 1 - (1 - masks / 255) * (1 - other_masks / 255)
    covered = torch.lerp(images.float(), other_images.float(), alpha).round().to(torch.uint8)
    crops = torch.where(pasted, other_images, covered)
    swapped = augment(crops, other_masks, parameters, views, bank, dtype=dtype)
    return Swaps(swapped, has_donor & has_mask)


def next_in_group(eligible: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Find for each sample the next other one that is eligible, going round its group.

    Parameters
    ----------
    eligible : Tensor of shape (B,), bool
        Which samples may be found.
    group : int
        Samples of a group, which lie in a row; divides B.

    Returns
    -------
    index : Tensor of shape (B,), int64
        Their places; a sample's own where its group has no other that is eligible.
    has_other : Tensor of shape (B,), bool
        Whether it has.
    """
    places = torch.arange(group, device=eligible.device)
    # How far on each (column) is from each (row), going round.
    steps = (places - places[:, None]) % group
    choices = eligible.view(-1, 1, group) & (steps > 0)
    nearest = torch.where(choices, steps, group).amin(2)
    first = torch.arange(0, len(eligible), group, device=eligible.device)[:, None]
    return (first + (places + nearest) % group).flatten(), (nearest < group).flatten()
