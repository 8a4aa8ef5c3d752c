"""The device's share of a batch of views: paste, colours, blur, and the space of the result."""

import functools
import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor

from dilo.train.augment.backgrounds import BackgroundBank
from dilo.train.augment.color import standardisation, to_color_space
from dilo.train.augment.loops import augment_by_loops
from dilo.train.augment.plain import augment_plainly
from dilo.train.augment.table import view_table
from dilo.train.data.dataset import ViewParams
from dilo.train.recipes.recipe import ViewsRecipe
from dilo.train.runtime.devices import move


@torch.no_grad()
def augment(
    images: Tensor,
    masks: Tensor,
    parameters: ViewParams,
    views: ViewsRecipe,
    bank: BackgroundBank | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Paste, colour, blur and normalise a batch of views, each by its own draw.

    Parameters
    ----------
    images : Tensor of shape (B, 3, s, s), uint8
        Crops, on any device.
    masks : Tensor of shape (B, 1, s, s) or (P, 1, s, s), uint8
        The masks of all views, or of the P that are pasted, on the same device.
    parameters : ViewParams
        The draws, on the CPU, so that nothing waits for the device.
    views : ViewsRecipe
        `order` of the colours, the largest blur, and the `space` of the result.
    bank : BackgroundBank, optional
        Backgrounds, on the same device; unless given, all pastes must be on gray.
    dtype : torch.dtype, default float32
        Of the result; all is computed in float32.

    Returns
    -------
    Tensor of shape (B, 3, s, s)
        In the space that the recipe names: by default, normalised by ImageNet's mean and
        standard deviation. In memory, channels come last on a GPU.

    Raises
    ------
    ValueError
        If there is not one row of parameters a view, or masks or backgrounds are missing.
    """
    if len(parameters.paste) != len(images):
        raise ValueError(
            f"parameters must have one row for each of {len(images)} images, "
            f"got {len(parameters.paste)}"
        )
    table = view_table(parameters, len(masks), views, bank)
    pictures = images.new_empty(0, 3, 1, 1) if bank is None else bank.pictures
    # A caller's autocast would mix the channels of a space in half precision.
    with torch.autocast(images.device.type, enabled=False):
        if images.device.type == "cpu":
            return _on_cpu(images, masks, pictures, table, views).to(dtype)
        table = move(table, images.device)
        if "blur" in views.order[:-1] or not _has_triton():
            result = _plain_version()(images, masks, pictures, table, views.order)
            result = to_color_space(result, views.space)
            return result.to(dtype, memory_format=torch.channels_last)
        return _by_kernels(images, masks, pictures, table, views, dtype)


def _on_cpu(
    images: Tensor, masks: Tensor, pictures: Tensor, table: Tensor, views: ViewsRecipe
) -> Tensor:
    """Augment by loops, which leave to torch only the spaces that mix channels."""
    space = "rgb" if views.space == "rgb" else "unit"
    result = augment_by_loops(images, masks, pictures, table, views.order, standardisation(space))
    return result if views.space == space else to_color_space(result, views.space)


def _by_kernels(
    images: Tensor,
    masks: Tensor,
    pictures: Tensor,
    table: Tensor,
    views: ViewsRecipe,
    dtype: torch.dtype,
) -> Tensor:
    """Augment by kernels, which leave to torch the same spaces."""
    from dilo.train.augment.kernels import augment_by_kernels

    arguments = images, masks, pictures, table, views.order
    if views.space in ("rgb", "unit"):
        return augment_by_kernels(*arguments, standardisation(views.space), dtype)
    result = augment_by_kernels(*arguments, standardisation("unit"), torch.float32)
    return to_color_space(result, views.space).to(dtype, memory_format=torch.channels_last)


@functools.cache
def _has_triton() -> bool:
    """Check for the compiler of kernels, which comes with torch for CUDA on Linux."""
    return importlib.util.find_spec("triton") is not None


@functools.cache
def _plain_version() -> Callable[..., Tensor]:
    """Compile the plain version, for orders that no kernel knows; by itself it is slow."""
    if not _has_triton():
        return augment_plainly
    return torch.compile(augment_plainly, fullgraph=True, dynamic=False)
