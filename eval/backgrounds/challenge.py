"""The folders of the Backgrounds Challenge: variations of ImageNet-9, made by its authors."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import functional

from dilo.eval.features.folders import LabelledFolder, labelled_folder
from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import ContentError, DiloError, ImageError, first_few
from dilo.train.data.evaluation import Item

#: Folders of a release, but for the masks of the foregrounds.
CHALLENGE = (
    *("original", "only_fg", "no_fg", "mixed_same", "mixed_rand", "mixed_next"),
    *("only_bg_b", "only_bg_t"),
)


#: Side of the challenge's images, in pixels.
SIDE = 224


@dataclass(frozen=True, eq=False)
class Challenge:
    """A release of the challenge."""

    #: Its folder.
    root: Path
    #: Names of the nine class folders, sorted.
    classes: tuple[str, ...]
    #: The images, by variation.
    folders: dict[str, LabelledFolder]


def find_challenge(root: Path, wanted: tuple[str, ...] = ()) -> Challenge:
    """List the images of a release: ``ROOT/VARIATION/val/CLASS/``."""
    there = [name for name in CHALLENGE if (root / name / "val").is_dir()]
    missing = [name for name in wanted if name not in there]
    if missing or not there:
        raise DiloError(
            f"{root} must hold VARIATION/val/CLASS/, got no "
            f"{first_few(missing or list(CHALLENGE))}: give the folder that a release of the "
            "Backgrounds Challenge unpacks to"
        )
    chosen = [name for name in there if not wanted or name in wanted]
    classes = _classes(root / chosen[0] / "val")
    folders = {}
    for name in chosen:
        folder = root / name / "val"
        if (present := _classes(folder)) != classes or len(classes) != NINE:
            raise DiloError(
                f"{folder} must hold the {NINE} class folders of ImageNet-9, the same in every "
                f"variation, got {len(present)} ({first_few(present)}): unpack the release again"
            )
        folders[name] = labelled_folder(folder, classes=classes)
    return Challenge(root, classes, folders)


def _classes(folder: Path) -> tuple[str, ...]:
    """List class folders, also those without images, so that none moves up."""
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir()))


def frame(pixels: NDArray[np.uint8], side: int) -> Tensor:
    """Make of an image what the challenge shows: no crop, and no resizing unless it must be.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, 3), uint8
        RGB.
    side : int
        Side of the result, in pixels.

    Returns
    -------
    Tensor of shape (3, side, side), uint8
        RGB; the very pixels where the image is of this size, else squashed to it, antialiased.
    """
    image = Image.fromarray(pixels)
    if image.size != (side, side):
        image = functional.resize(image, [side, side])
    frame: Tensor = functional.pil_to_tensor(image)
    return frame


class Frames(Dataset[Item]):
    """A variation's images by position; the reason, in words, where one cannot be read.

    Parameters
    ----------
    folder : LabelledFolder
        The images.
    positions : ndarray of shape (N,), int64
        Those that are shown.
    side : int
        Side of each, in pixels.
    """

    def __init__(self, folder: LabelledFolder, positions: NDArray[np.int64], side: int) -> None:
        self.folder, self.positions, self.side = folder, positions, side

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Item:
        position = int(self.positions[index])
        try:
            return position, frame(self.folder.decode(position), self.side)
        except ImageError as error:
            return position, str(error)


#: Classes of ImageNet, and of ImageNet-9.
IMAGENET, NINE = 1000, 9


@dataclass(frozen=True, eq=False)
class Mapping:
    """Which of the nine classes each class of ImageNet is."""

    #: The file.
    source: Path
    #: 0 to 8; -1 for none; of shape (1000,), int64.
    numbers: Tensor

    @property
    def counts(self) -> list[int]:
        """Count the classes of ImageNet in each of the nine."""
        counts: list[int] = torch.bincount(self.numbers + 1, minlength=NINE + 1)[1:].tolist()
        return counts


def read_mapping(path: Path) -> Mapping:
    """Read ``in_to_in9.json``."""
    rule = f'{path} must be a JSON object from "0" to "999" to numbers from -1 to 8'
    remedy = "give in_to_in9.json of the challenge's code"
    try:
        content = read_json(path)
    except ContentError as error:
        raise DiloError(f"{rule}, got no JSON ({error}): {remedy}") from None
    if not isinstance(content, dict) or content.keys() != set(map(str, range(IMAGENET))):
        kind = f"{len(content)} keys" if isinstance(content, dict) else type(content).__name__
        raise DiloError(f"{rule}, got {kind}: {remedy}")
    for key, value in content.items():
        if type(value) is not int or not -1 <= value < NINE:
            raise DiloError(f"{rule}, got {key}: {value!r}: {remedy}")
    numbers = torch.tensor([content[str(i)] for i in range(IMAGENET)], dtype=torch.int64)
    mapping = Mapping(path, numbers)
    if 0 in mapping.counts:
        empty = mapping.counts.index(0)
        raise DiloError(f"{rule}, got no class of ImageNet that is {empty}: {remedy}")
    return mapping
