"""Images below a folder, and their classes."""

from collections.abc import Iterable, Mapping, Sequence
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
from dilo.pipeline.images.labels import (
    Labels,
    class_remarks,
    labels_digest,
    labels_of,
    of_classes,
)
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.selection import ImageSelection, is_narrowed
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
        Those that narrowed the images or named their classes, by their names.
    labels_digest : str
        Of the classes, if they do not follow from the folders of the images.
    """

    root: Path
    names: Names
    labels: Tensor
    classes: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    labels_digest: str = ""

    @property
    def is_narrowed(self) -> bool:
        """Check whether they are a part of the folder, by a user's choice."""
        return is_narrowed(self.options)

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
        more = [self.labels_digest] if self.labels_digest else []
        return digest_of_sizes(self.names, self.images.size, *more)

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
    root, names = selection.root, selection.names(say=say)
    class_names = selection.class_names(names)
    if skip_others and classes is not None:
        count = len(names)
        names, class_names = of_classes(names, class_names, classes, str(root))
        if say is not None and len(names) < count:
            say(
                f"{root}: {count - len(names)} of {count} images skipped: of none of the "
                f"{len(classes)} classes of the selected training images"
            )
    labels = labels_of(names, str(root), classes=classes, class_names=class_names)
    if say is not None and classes is None:
        _say_all(say, class_remarks(labels.classes, str(root)))
    return _labelled(selection, names, labels, class_names)


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
    root, names = selection.root, selection.names(say=say)
    class_names = selection.class_names(names)
    if class_names is None and not all("/" in name for name in names):
        unlabelled = Labels(np.full(len(names), -1), ())
        return _labelled(selection, names, unlabelled, None)
    labels = labels_of(names, str(root), class_names=class_names)
    if say is not None:
        _say_all(say, class_remarks(labels.classes, str(root)))
    return _labelled(selection, names, labels, class_names)


def _labelled(
    selection: ImageSelection, names: Names, labels: Labels, class_names: Sequence[str] | None
) -> LabelledFolder:
    """Put images and their classes together."""
    numbers = torch.from_numpy(labels.numbers)
    options, digest = selection.options(), labels_digest(class_names)
    return LabelledFolder(selection.root, names, numbers, labels.classes, options, digest)


def _say_all(say: Say, lines: Iterable[str]) -> None:
    """Say lines."""
    for line in lines:
        say(line)
