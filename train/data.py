"""Training data: an image and its mask to the crops of its views, and those of a batch."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images import decode
from dilo.pipeline.images.folder import require_images, whereabouts
from dilo.pipeline.images.listing import count_images, find_images
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.rows import FAILED
from dilo.train.crops import crop
from dilo.train.draws import ViewDraw, view_draw
from dilo.train.parameters import Parameters, stack
from dilo.train.paste import alpha_of
from dilo.train.readable import first_readable
from dilo.train.recipe import Recipe

#: Stands for the mask of a view that nothing is pasted in.
NO_MASK: NDArray[np.uint8] = np.zeros((1, 1), np.uint8)

#: Seconds for which the images of a folder are counted at most, to say what share a store lists.
COUNTING = 3.0


@dataclass(frozen=True, eq=False)
class Source:
    """The images of a run, and their masks.

    Attributes
    ----------
    folder : Path
        Folder of the images.
    names : Names
        Their paths, in order; a sample's number is its position here.
    usable : ndarray of shape (M,), int64
        Positions of the images to train on.
    pasteable : ndarray of shape (N,), bool
        Whether an image has a mask with enough in it.
    store : MaskStore or None
        The masks.
    in_folder : int, optional
        Images in the folder, also those that the store does not list; None where counting them
        takes long.
    """

    folder: Path
    names: Names
    usable: NDArray[np.int64]
    pasteable: NDArray[np.bool_]
    store: MaskStore | None
    in_folder: int | None = None

    @property
    def never_pasted(self) -> int:
        """Count the images to train on whose mask holds too little, of a run with masks.

        Returns
        -------
        int
            They are trained on as they are.
        """
        return int((~self.pasteable[self.usable]).sum()) if self.store else 0

    def share(self) -> str:
        """Say of how many images those to train on are a part, and why the others are none.

        Returns
        -------
        str
            "100 of 226 images: those with masks"; "226 images" where they are all that there are.
        """
        usable, listed = len(self.usable), len(self.names)
        total = listed if self.in_folder is None else self.in_folder
        if total > listed:
            return f"{usable} of {total} images: those with masks"
        if total < listed:
            return f"{usable} images, though {self.folder} holds only {total} of {listed} listed"
        return f"{usable} images"


def find_source(
    images: Path,
    masks: Path | None,
    min_coverage: float = 0.0,
    *,
    option: str = "--masks",
    say: Callable[[str], object] | None = None,
) -> Source:
    """List the images of a run: those of the store of masks, or of the folder.

    Parameters
    ----------
    images : Path
        Folder of images.
    masks : Path, optional
        Store that `dilo-prep masks` made of them. Its list serves, and the folder is only
        counted, where that takes no more than some seconds. Images that it records as failed
        are left out.
    min_coverage : float, default 0
        An image is pasted only if its mask covers at least this share of it, and anything.
    option : str, default "--masks"
        What gave the store, for messages.
    say : callable, optional
        Told in a line how many pictures of the folder are of kinds that are not read.

    Returns
    -------
    Source
        Images and masks.

    Raises
    ------
    DiloError
        If the store is not whole, or is of another folder, or most images are not there.
    """
    if masks is None:
        names = find_images(images, say=say)
        return Source(images, names, np.arange(len(names)), np.zeros(len(names), bool), None)
    store = MaskStore(masks)
    status, coverage = store.columns("status", "coverage")
    usable = np.flatnonzero(status != FAILED)
    if not len(usable):
        raise DiloError(f"{option} {masks}: every image failed; see dilo-prep status {masks}")
    first = store.names[int(usable[0])]
    if not (images / first).exists():
        raise DiloError(
            f"{option} {masks} must be of the images of --images {images}: "
            f"its first image, {escaped(first)}, is not there: {whereabouts(images, first)}"
        )
    require_images(images, store.names, rows=usable.tolist())
    pasteable = (coverage >= min_coverage) & (coverage > 0)  # 0 where it failed
    in_folder = count_images(images, COUNTING)
    return Source(images, store.names, usable, pasteable, store, in_folder)


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
        mask = NO_MASK
        images, masks, draws, skipped = [], [], [], 0
        for view in range(self.wanted.views):
            draw = self._draw(epoch, asked, view, image.shape[:2])
            if draw.paste and not pasteable:
                draw, skipped = dataclasses.replace(draw, paste=None), skipped + 1
            if (draw.paste or self.wanted.masks) and mask is NO_MASK and store is not None:
                mask = alpha_of(store[index], self.recipe.paste)
            # A view of which no mask is wanted costs none.
            shown = mask if draw.paste or self.wanted.masks else NO_MASK
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
