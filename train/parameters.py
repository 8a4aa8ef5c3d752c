"""The draws of a batch of views, column by column, as the device takes them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dilo.train.draws import ViewDraw
from dilo.train.pastedraw import GRAY, PasteDraw

#: Stands for the paste of a view that has none.
_UNPASTED = PasteDraw(
    kind=GRAY, gray_level=0, pick=0.0, background_box=(0.0, 0.0, 1.0, 1.0), blend_sigma=0.0
)


class Parameters(NamedTuple):
    """What to do with each view of a batch, on the CPU; names and units of `ViewDraw`.

    Attributes
    ----------
    paste, jitter, gray : Tensor of shape (B,), bool
        Whether to.
    kind : Tensor of shape (B,), int64
        Kind of background.
    gray_level : Tensor of shape (B,), uint8
        Background where it is gray.
    pick : Tensor of shape (B,), float64
        Which picture of its kind otherwise.
    background_box : Tensor of shape (B, 4), float32
        What lies behind the view, in pixels of that picture.
    brightness, contrast, saturation, hue : Tensor of shape (B,), float32
        Factors, and the shift of the hue in turns.
    order : Tensor of shape (B, 4), int64
        Order of the jitter.
    blur_sigma : Tensor of shape (B,), float32
        In pixels; 0 for no blur.
    """

    paste: Tensor
    kind: Tensor
    gray_level: Tensor
    pick: Tensor
    background_box: Tensor
    jitter: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    order: Tensor
    gray: Tensor
    blur_sigma: Tensor

    def rows(self, index: Tensor | slice) -> "Parameters":
        """Take some of the views.

        Parameters
        ----------
        index : Tensor of shape (n,), int64, or slice
            Which.

        Returns
        -------
        some : Parameters
            Their rows, in that order.
        """
        return Parameters(*(column[index] for column in self))


_DTYPES = {
    "kind": torch.int64,
    "gray_level": torch.uint8,
    "pick": torch.float64,
    "order": torch.int64,
} | dict.fromkeys(("paste", "jitter", "gray"), torch.bool)


def stack(draws: Sequence[ViewDraw]) -> Parameters:
    """Gather the draws of a batch.

    Parameters
    ----------
    draws : sequence of ViewDraw
        One a view.

    Returns
    -------
    columns : Parameters
        One row a view, in the same order.
    """

    def column(name: str) -> Tensor:
        values = [_value(draw, name) for draw in draws]
        return torch.tensor(values, dtype=_DTYPES.get(name, torch.float32))

    return Parameters(*map(column, Parameters._fields))


def _value(draw: ViewDraw, name: str) -> Any:
    """Find a parameter in a draw or in its paste."""
    if name == "paste":
        return draw.paste is not None
    if name in PasteDraw.__slots__:
        return getattr(draw.paste or _UNPASTED, name)
    return getattr(draw, name)
