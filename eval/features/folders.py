"""Images below a folder, and their classes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilo.eval.common.inputs import digest_of_sizes
from dilo.eval.common.results import Say
from dilo.pipeline.images.labels import class_remarks, labels_of, names_of_classes
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.images.source import ImageSource, open_images


@dataclass(frozen=True, eq=False)
class LabelledFolder:
    """Images below a folder, each in the class that its first folder names.

    Attributes
    ----------
    root : Path
        The folder.
    names : Names
        Relative paths of the M images.
    labels : Tensor of shape (M,), int64
        Class of each, a position in `classes`; -1 where there are no classes.
    classes : tuple of str
        Names of the classes; empty where images lie outside class folders.
    options : mapping of str to object
        Those that narrowed the images, by their names; empty where these are all of the folder.
    """

    root: Path
    names: Names
    labels: Tensor
    classes: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def images(self) -> ImageSource:
        """Open the images; not before one is read, for features alone need none."""
        return open_images(self.root)

    def decode(self, row: int) -> NDArray[np.uint8]:
        """Read an image, RGB, of shape (H, W, 3)."""
        return self.images.decode(self.names[row])

    @cached_property
    def digest(self) -> str:
        """Digest the names of the images and the sizes of their files, as records have it."""
        return digest_of_sizes(self.names, self.images.size)

    def class_name(self, row: int) -> str | None:
        """Name the class of an image; None where there are no classes."""
        return self.classes[int(self.labels[row])] if self.classes else None


def labelled_folder(
    images: Path | ImageSelection,
    *,
    classes: tuple[str, ...] | None = None,
    skip_others: bool = False,
    say: Say | None = None,
) -> LabelledFolder:
    """List the images of a folder and number their classes.

    Parameters
    ----------
    images : Path or ImageSelection
        A folder of class folders, with images at any depth below them; or some of its images.
    classes : tuple of str, optional
        The classes to number by; by default those of the images, sorted.
    skip_others : bool, default False
        Leave out images of other classes than `classes`, and say how many, unless all are.
    say : callable, optional
        Told in lines what is ignored, and what is unusual about the classes.

    Returns
    -------
    LabelledFolder
        The images in the order of their paths, or of the list.

    Raises
    ------
    DiloError
        If there is no image, an image lies in no class folder, or a class of the
        folder is not among `classes`.
    """
    selection = ImageSelection.of(images)
    names = selection.names(say=say)
    if skip_others and classes is not None:
        names = _names_of_classes(names, classes, selection.root, say)
    labels = labels_of(names, str(selection.root), classes=classes)
    if say is not None and classes is None:
        _say_all(say, class_remarks(labels.classes, str(selection.root)))
    numbers = torch.from_numpy(labels.numbers)
    return LabelledFolder(selection.root, names, numbers, labels.classes, selection.options())


def any_folder(images: Path | ImageSelection, *, say: Say | None = None) -> LabelledFolder:
    """List the images of a folder, with their classes where all lie in class folders.

    Parameters
    ----------
    images : Path or ImageSelection
        Any folder with images, at any depth; or some of its images.
    say : callable, optional
        Told in lines what is ignored, and what is unusual about the classes.

    Returns
    -------
    LabelledFolder
        The images in the order of their paths, or of the list.

    Raises
    ------
    DiloError
        If there is no image.
    """
    selection = ImageSelection.of(images)
    root, names, options = selection.root, selection.names(say=say), selection.options()
    if all("/" in name for name in names):
        labels = labels_of(names, str(root))
        if say is not None:
            _say_all(say, class_remarks(labels.classes, str(root)))
        numbers = torch.from_numpy(labels.numbers)
        return LabelledFolder(root, names, numbers, labels.classes, options)
    return LabelledFolder(root, names, torch.full((len(names),), -1), (), options)


def _names_of_classes(names: Names, classes: tuple[str, ...], root: Path, say: Say | None) -> Names:
    """Leave out the images of other classes, and say how many; all stay where none would."""
    kept = names_of_classes(names, classes)
    if not kept:
        return names
    if say is not None and len(kept) < len(names):
        say(
            f"{root}: {len(names) - len(kept)} of {len(names)} images skipped: of none of the "
            f"{len(classes)} classes of the selected training images"
        )
    return kept


def _say_all(say: Say, lines: Iterable[str]) -> None:
    """Say lines."""
    for line in lines:
        say(line)
