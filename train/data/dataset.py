"""Training data: an image and its mask to the crops of its views, and those of a batch."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dilo.pipeline.images import decode
from dilo.train.data.crop import crop, mask_to_alpha, object_share
from dilo.train.data.draws import GRAY, Box, PasteDraw, ViewDraw, view_draw
from dilo.train.data.images import ImageSet, first_readable
from dilo.train.recipes.recipe import Recipe

#: Stands for the paste of a view that has none.
_UNPASTED = PasteDraw(
    kind=GRAY, gray_level=0, pick=0.0, background_box=(0.0, 0.0, 1.0, 1.0), blend_sigma=0.0
)


class ViewParams(NamedTuple):
    """What to do with each view of a batch, on the CPU; names and units of `ViewDraw`."""

    #: Whether the view is pasted on a background.
    paste: Tensor
    #: Kind of background.
    kind: Tensor
    #: Background where it is gray.
    gray_level: Tensor
    #: Which picture of its kind otherwise.
    pick: Tensor
    #: What lies behind the view, in pixels of that picture.
    background_box: Tensor
    #: Whether the colours are jittered.
    jitter: Tensor
    #: Factor of the jitter.
    brightness: Tensor
    #: Factor of the jitter.
    contrast: Tensor
    #: Factor of the jitter.
    saturation: Tensor
    #: Shift of the hue, in turns.
    hue: Tensor
    #: Order of the jitter.
    order: Tensor
    #: Whether the colours are dropped.
    gray: Tensor
    #: In pixels; 0 for no blur.
    blur_sigma: Tensor

    def rows(self, index: Tensor | slice) -> "ViewParams":
        """Select some of the views."""
        return ViewParams(*(column[index] for column in self))


_DTYPES = {
    "kind": torch.int64,
    "gray_level": torch.uint8,
    "pick": torch.float64,
    "order": torch.int64,
} | dict.fromkeys(("paste", "jitter", "gray"), torch.bool)


def stack_params(draws: Sequence[ViewDraw]) -> ViewParams:
    """Stack the draws of a batch, a column for each parameter."""

    def column(name: str) -> Tensor:
        values = [_value(draw, name) for draw in draws]
        return torch.tensor(values, dtype=_DTYPES.get(name, torch.float32))

    return ViewParams(*map(column, ViewParams._fields))


def _value(draw: ViewDraw, name: str) -> Any:
    """Return a parameter of a draw or of its paste."""
    if name == "paste":
        return draw.paste is not None
    if name in PasteDraw.__slots__:
        return getattr(draw.paste or _UNPASTED, name)
    return getattr(draw, name)


class CropBatch(NamedTuple):
    """The crops of a batch: the first view of every sample, then, if wanted, the second."""

    images: Tensor
    #: Of the views that are pasted, in their order, or of all where they are wanted.
    masks: Tensor
    #: What the device is to do with each view.
    parameters: ViewParams
    #: Which of the images to train on, counted from 0.
    samples: Tensor
    #: Their classes; -1 where none are wanted.
    labels: Tensor
    #: How many views were drawn to be pasted and are not, for want of a mask with enough in it.
    skipped: Tensor
    #: How many images could not be read and were replaced by a later one.
    unreadable: Tensor


class CropSample(NamedTuple):
    """The crops and draws of one image's views."""

    images: list[NDArray[np.uint8]]
    #: None for a view that needs none.
    masks: list[NDArray[np.uint8] | None]
    draws: list[ViewDraw]
    row: int
    label: int
    skipped: int
    unreadable: int


@dataclass(frozen=True, eq=False)
class SampleSpec:
    """What a method wants of a sample."""

    #: How many views.
    views: int = 2
    #: Whether the mask of each view, be it pasted or not.
    masks: bool = False
    #: Class of each image of the source, where they are wanted.
    labels: NDArray[np.int64] | None = None
    #: Names of the class folders, by label; empty where images lie outside any.
    classes: tuple[str, ...] = ()


class ViewDataset(Dataset[CropSample]):
    """Samples by (epoch, position in the list); nothing in it depends on a worker.

    Parameters
    ----------
    source : ImageSet
        Images and masks.
    recipe : Recipe
        Views, paste and seed.
    spec : SampleSpec, optional
        How many views, and what besides; two views unless given.
    """

    def __init__(self, source: ImageSet, recipe: Recipe, spec: SampleSpec | None = None) -> None:
        self.source = source
        self.recipe = recipe
        self.spec = spec or SampleSpec()

    def __getitem__(self, key: tuple[int, int]) -> CropSample:
        """Draw and cut the views of an image."""
        epoch, position = key
        image, row = self.read(position)
        index = int(self.source.indices[row])
        pasteable = bool(self.source.has_mask[index])
        mask = self._alpha(index) if self.recipe.views.min_object and pasteable else None
        share = None if mask is None else functools.partial(object_share, mask, image.shape[:2])
        images: list[NDArray[np.uint8]] = []
        masks: list[NDArray[np.uint8] | None] = []
        draws, skipped = [], 0
        for view in range(self.spec.views):
            draw = self._draw(epoch, position, view, image.shape[:2], share)
            if draw.paste and not pasteable:
                draw, skipped = dataclasses.replace(draw, paste=None), skipped + 1
            needs_mask = bool(draw.paste) or self.spec.masks
            if needs_mask and mask is None:
                mask = self._alpha(index)
            view_mask = mask if needs_mask else None
            pixels, alpha = crop(image, view_mask, draw, self.recipe.views.size)
            images.append(pixels)
            masks.append(alpha)
            draws.append(draw)
        label = -1 if self.spec.labels is None else int(self.spec.labels[index])
        return CropSample(images, masks, draws, row, label, skipped, int(index != position))

    def _alpha(self, index: int) -> NDArray[np.uint8] | None:
        """Read the mask of an image as the alpha of its pastes; None without a store."""
        store = self.source.store
        return None if store is None else mask_to_alpha(store[index], self.recipe.paste)

    def _draw(
        self,
        epoch: int,
        sample: int,
        view: int,
        shape: Sequence[int],
        share: Callable[[Box], float] | None,
    ) -> ViewDraw:
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
            object_share=share,
        )

    def read(self, index: int) -> tuple[NDArray[np.uint8], int]:
        """Read an image, or the next one if it cannot be read; return its row of `indices` too."""
        source = self.source
        return first_readable(source, index, lambda i: decode(source.folder / source.names[i]))


def collate(samples: Sequence[CropSample]) -> CropBatch:
    """Stack samples into a batch."""
    order = [(view, sample) for view in range(len(samples[0].images)) for sample in samples]
    # As they lie in memory: see `crop`.
    images = np.stack([sample.images[view].transpose(2, 0, 1) for view, sample in order])
    masks = [mask for view, sample in order if (mask := sample.masks[view]) is not None]
    side = images.shape[2:]
    return CropBatch(
        torch.from_numpy(images),
        torch.from_numpy(np.stack(masks) if masks else np.empty((0, *side), np.uint8))[:, None],
        stack_params([sample.draws[view] for view, sample in order]),
        torch.tensor([sample.row for sample in samples]),
        torch.tensor([sample.label for sample in samples]),
        torch.tensor(sum(sample.skipped for sample in samples)),
        torch.tensor(sum(sample.unreadable for sample in samples)),
    )
