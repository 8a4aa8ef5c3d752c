"""Training data: an image and its mask to the crops of its views, and those of a batch."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dilo.pipeline.images import decode
from dilo.train.data.crop import alpha_of, crop
from dilo.train.data.draws import GRAY, PasteDraw, ViewDraw, view_draw
from dilo.train.data.images import Source, first_readable
from dilo.train.recipes.recipe import Recipe

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


class Batch(NamedTuple):
    """The crops of a batch: first view of every sample, then, if wanted, the second of every one.

    Attributes
    ----------
    images : Tensor of shape (V B, 3, s, s), uint8
    masks : Tensor of shape (V B, 1, s, s), uint8
        Zero where nothing is pasted, unless masks of all views are wanted.
    parameters : Parameters
        What the device is to do with each view.
    samples : Tensor of shape (B,), int64
        Which of the images to train on, counted from 0.
    labels : Tensor of shape (B,), int64
        Their classes; -1 where none are wanted.
    skipped : Tensor of shape (), int64
        How many views were drawn to be pasted and are not, for want of a mask with enough in it.
    unreadable : Tensor of shape (), int64
        How many images could not be read and were replaced by a later one.
    """

    images: Tensor
    masks: Tensor
    parameters: Parameters
    samples: Tensor
    labels: Tensor
    skipped: Tensor
    unreadable: Tensor


class Sample(NamedTuple):
    """The crops and draws of one image's views."""

    images: list[NDArray[np.uint8]]
    masks: list[NDArray[np.uint8]]
    draws: list[ViewDraw]
    row: int
    label: int
    skipped: int
    unreadable: int


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a method wants of a sample.

    Attributes
    ----------
    views : int
        How many views.
    masks : bool
        Whether the mask of each view, be it pasted or not.
    labels : ndarray of shape (N,), int64, optional
        Class of each image of the source, where they are wanted.
    classes : tuple of str
        Names of the class folders, by label; empty where images lie outside any.
    """

    views: int = 2
    masks: bool = False
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()


class Views(Dataset[Sample]):
    """Samples by (epoch, position in the list); nothing in it depends on a worker.

    Parameters
    ----------
    source : Source
        Images and masks.
    recipe : Recipe
        Views, paste and seed.
    wanted : Wanted, optional
        How many views, and what besides; two views unless given.
    """

    def __init__(self, source: Source, recipe: Recipe, wanted: Wanted | None = None) -> None:
        self.source = source
        self.recipe = recipe
        self.wanted = wanted or Wanted()

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Draw and cut the views of an image.

        Parameters
        ----------
        key : (int, int)
            Epoch, and position of the image in the source's list.

        Returns
        -------
        Sample
            Crops and draws.
        """
        epoch, asked = key
        image, row = self.read(asked)
        index = int(self.source.usable[row])
        store, pasteable = self.source.store, bool(self.source.pasteable[index])
        mask: NDArray[np.uint8] | None = None
        images, masks, draws, skipped = [], [], [], 0
        for view in range(self.wanted.views):
            draw = self._draw(epoch, asked, view, image.shape[:2])
            if draw.paste and not pasteable:
                draw, skipped = dataclasses.replace(draw, paste=None), skipped + 1
            wanted = bool(draw.paste) or self.wanted.masks
            if wanted and mask is None and store is not None:
                mask = alpha_of(store[index], self.recipe.paste)
            shown = mask if wanted else None
            cut, alpha = crop(image, shown, draw, self.recipe.views.size)
            images.append(cut)
            masks.append(alpha)
            draws.append(draw)
        label = -1 if self.wanted.labels is None else int(self.wanted.labels[index])
        return Sample(images, masks, draws, row, label, skipped, int(index != asked))

    def _draw(self, epoch: int, sample: int, view: int, shape: Sequence[int]) -> ViewDraw:
        """Draw one view of an image of a shape (height, width)."""
        return view_draw(
            self.recipe.views,
            self.recipe.paste,
            seed=self.recipe.seed,
            epoch=epoch,
            sample=sample,
            view=view,
            height=shape[0],
            width=shape[1],
        )

    def read(self, index: int) -> tuple[NDArray[np.uint8], int]:
        """Read an image, or, if it broke since its mask was made, the next that can be read.

        Parameters
        ----------
        index : int
            Position in the source's list.

        Returns
        -------
        ndarray of shape (H, W, 3), uint8
            Its pixels.
        int
            Which of the usable images was read.

        Raises
        ------
        DiloError
            If neither it nor the images after it can be read.
        """
        source = self.source
        return first_readable(source, index, lambda i: decode(source.folder / source.names[i]))


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples into a batch.

    Parameters
    ----------
    samples : sequence of Sample
        In the order of the batch.

    Returns
    -------
    Batch
        View by view.
    """
    order = [(view, sample) for view in range(len(samples[0].images)) for sample in samples]
    # As they lie in memory: see `crop`.
    images = np.stack([sample.images[view].transpose(2, 0, 1) for view, sample in order])
    masks = np.stack([sample.masks[view] for view, sample in order])
    return Batch(
        torch.from_numpy(images),
        torch.from_numpy(masks)[:, None],
        stack([sample.draws[view] for view, sample in order]),
        torch.tensor([sample.row for sample in samples]),
        torch.tensor([sample.label for sample in samples]),
        torch.tensor(sum(sample.skipped for sample in samples)),
        torch.tensor(sum(sample.unreadable for sample in samples)),
    )
