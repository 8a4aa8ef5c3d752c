"""Variations of a labelled folder with masks: the same foregrounds on other backgrounds."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dilo.eval.backgrounds.draws import MIXED, BackgroundDonors
from dilo.eval.features.folders import LabelledFolder
from dilo.pipeline.backgrounds.cropping import tile
from dilo.pipeline.backgrounds.windows import largest_windows
from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.rows import FAILED
from dilo.train.augment.paste import paste
from dilo.train.data.evaluation import center_crop

VARIATIONS = ("original", "only_fg", "no_fg", *MIXED)


#: Least and largest share of an image that its mask may cover.
COVERAGE = (0.01, 0.95)


class Layers(NamedTuple):
    """What the variations of an image are put together from; or of B images, stacked."""

    #: The evaluation crop; of shape (3, S, S), uint8.
    images: Tensor
    #: Its mask, soft; of shape (1, S, S), uint8.
    alphas: Tensor
    #: Of its own class, of any, of the next; of shape (3, 3, S, S), uint8.
    backgrounds: Tensor


def compose(layers: Layers) -> Iterator[tuple[str, Tensor]]:
    """Put variations together, one at a time.

    Parameters
    ----------
    layers : Layers
        Of B images.

    Yields
    ------
    str
        Name of a variation, in the order of `VARIATIONS`.
    Tensor of shape (B, 3, S, S), float32
        Its pictures, RGB in [0, 1].
    """
    images, alphas = layers.images / 255, layers.alphas / 255
    black = images.new_zeros(1, 1, 1, 1)
    yield "original", images
    yield "only_fg", paste(images, alphas, black)
    yield "no_fg", paste(black, alphas, images)
    for kind, backgrounds in zip(MIXED, layers.backgrounds.unbind(1), strict=True):
        yield kind, paste(images, alphas, backgrounds / 255)


@dataclass(frozen=True, eq=False)
class Selection:
    """The images whose masks can be used."""

    #: In the folder; of shape (N,), int64.
    positions: NDArray[np.int64]
    #: Row of every image of the folder in the store; -1 without; of shape (M,), int64.
    rows: NDArray[np.int64]
    #: Path of each image that is skipped, and why.
    skipped: list[tuple[str, str]]


def select(folder: LabelledFolder, store: MaskStore) -> Selection:
    """Choose the images whose masks can be used."""
    places = {name: row for row, name in enumerate(store.names)}
    rows = np.array([places.get(name, -1) for name in folder.names], np.int64)
    status, coverage = (column[rows] for column in store.columns("status", "coverage"))
    reasons = {
        "no mask in the store": rows < 0,
        "mask failed": (rows >= 0) & (status == FAILED),
        "mask covers less than 1 %": (rows >= 0) & (status != FAILED) & (coverage < COVERAGE[0]),
        "mask covers more than 95 %": (rows >= 0) & (coverage > COVERAGE[1]),
    }
    skipped = [
        (escaped(folder.names[int(position)]), reason)
        for reason, unusable in reasons.items()
        for position in np.flatnonzero(unusable)
    ]
    positions = np.flatnonzero(~np.logical_or.reduce(list(reasons.values())))
    if not len(positions):
        counts = Counter(reason for _, reason in skipped)
        words = ", ".join(f"{reason}: {count}" for reason, count in counts.items())
        raise DiloError(
            f"--masks {store.folder} must have masks of the images of {folder.root}, by the same "
            f"paths, got none that can be used ({words}; the first image is "
            f"{escaped(folder.names[0])}): give the store that was made of this folder"
        )
    return Selection(positions, rows, skipped)


def evenly_spaced(positions: NDArray[np.int64], count: int | None) -> NDArray[np.int64]:
    """Take some of them, evenly, so that every class is among them.

    Parameters
    ----------
    positions : ndarray of shape (N,), int64
        All.
    count : int or None
        How many; None for all.

    Returns
    -------
    ndarray of shape (min(N, count),), int64
        In the same order.
    """
    if count is None or count >= len(positions):
        return positions
    return positions[np.arange(count) * len(positions) // count]


class Variations(Dataset[tuple[int, Layers | str]]):
    """The pieces of images' variations; the reason, in words, where there are none.

    Parameters
    ----------
    folder : LabelledFolder
        The images.
    store : MaskStore
        Their masks.
    selection : Selection
        Where these are.
    donors : BackgroundDonors
        Who lends backgrounds.
    positions : ndarray of shape (N,), int64
        The images to vary.
    size : int
        Side of the pictures, in pixels.
    """

    def __init__(
        self,
        folder: LabelledFolder,
        store: MaskStore,
        selection: Selection,
        donors: BackgroundDonors,
        positions: NDArray[np.int64],
        size: int,
    ) -> None:
        self.folder, self.store, self.rows, self.donors = folder, store, selection.rows, donors
        self.positions, self.size = positions, size

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> tuple[int, Layers | str]:
        position = int(self.positions[index])
        try:
            image, alpha = self._crops(position)
        except ImageError as error:
            return position, str(error)
        backgrounds = []
        for kind in MIXED:
            background = self._background(position, kind)
            if background is None:
                name = self.folder.classes[self.donors.background_class(position, kind)]
                return position, f"no other image of {name} gives a background"
            backgrounds.append(background)
        return position, Layers(image, alpha, torch.stack(backgrounds))

    def _crops(self, position: int) -> tuple[Tensor, Tensor]:
        """Read an image and its mask, and crop both alike."""
        mask = self.store[int(self.rows[position])]
        return crop_both(self.folder.decode(position), mask, self.size)

    def _background(self, position: int, kind: str) -> Tensor | None:
        """Take the background of the first donor that has one."""
        for donor in self.donors.order(position, kind).tolist():
            try:
                image, mask = self._crops(donor)
            except ImageError:
                continue  # reported where it is to be varied itself
            background = without_object(image, mask)
            if background is not None:
                return background
        return None


def crop_both(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], size: int
) -> tuple[Tensor, Tensor]:
    """Take the evaluation crop of an image and of its mask.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    mask : ndarray of shape (h, w), uint8
        Of the image squashed to this size.
    size : int
        Side of the crops, in pixels.

    Returns
    -------
    image : Tensor of shape (3, size, size), uint8
        RGB.
    mask : Tensor of shape (1, size, size), uint8
        Its saliency, 0 to 255.
    """
    return center_crop(image, size), center_crop(stretch_mask(mask, image.shape), size)


def without_object(image: Tensor, mask: Tensor) -> Tensor | None:
    """Make the background of a crop, as `fill_object_box` does; None where it gives none."""
    filled = fill_object_box(image.permute(1, 2, 0).numpy(), mask[0].numpy())
    return None if filled is None else torch.from_numpy(filled).permute(2, 0, 1)


def collate(
    items: list[tuple[int, Layers | str]],
) -> tuple[list[int], Layers | None, list[tuple[int, str]]]:
    """Part pieces from failures, and stack the pieces."""
    made = {position: item for position, item in items if not isinstance(item, str)}
    failures = [(position, item) for position, item in items if isinstance(item, str)]
    stacked = Layers(*map(torch.stack, zip(*made.values(), strict=True))) if made else None
    return list(made), stacked, failures


#: Saliency, 0 to 255, above which a pixel may belong to the object; as in dilo-prep backgrounds.
RESPONSE = 10


#: Shortest side of a window that is repeated, as a share of the picture's.
MIN_SIDE = 1 / 4


def fill_object_box(pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Take the object out of a picture, as the Backgrounds Challenge's Only-BG-T does.

    Parameters
    ----------
    pixels : ndarray of shape (S, S, 3), uint8
        The picture.
    mask : ndarray of shape (S, S), uint8
        Its saliency, 0 to 255.

    Returns
    -------
    ndarray of shape (S, S, 3), uint8 or None
        The picture; the smallest box around all that is salient is filled by repeating the
        largest box without salience, in step with itself. None where nothing is salient, for
        then the object was not found, or no such box has sides of S/4.

    References
    ----------
    .. [1] K. Xiao, L. Engstrom, A. Ilyas and A. Madry, "Noise or Signal: The Role of Image
       Backgrounds in Object Recognition", ICLR 2021.
    """
    salient = mask > RESPONSE
    rows, columns = (np.flatnonzero(salient.any(axis)) for axis in (1, 0))
    least = math.ceil(MIN_SIDE * len(mask))
    side = (len(mask), len(mask))
    windows = largest_windows(mask, side, response=RESPONSE, min_side=least, count=1)
    if not len(rows) or not windows:
        return None
    top, left, high, wide = windows[0]
    first, last, start, end = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    filled = pixels.copy()
    filled[first:last, start:end] = tile(
        pixels[top : top + high, left : left + wide],
        (int(first) - top, int(start) - left, int(last - first), int(end - start)),
    )
    return filled
