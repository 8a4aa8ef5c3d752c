"""Images below a folder, and their classes."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from dilo.eval.common.inputs import digest_of_files
from dilo.eval.common.results import Say
from dilo.pipeline.images.labels import class_remarks, labels_of
from dilo.pipeline.images.listing import find_images
from dilo.pipeline.images.names import Names


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
    """

    root: Path
    names: Names
    labels: Tensor
    classes: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """Digest the names of the images and the sizes of their files, as records have it."""
        return digest_of_files(self.root, self.names)

    def class_name(self, row: int) -> str | None:
        """Name the class of an image; None where there are no classes."""
        return self.classes[int(self.labels[row])] if self.classes else None


def labelled_folder(
    root: Path, *, classes: tuple[str, ...] | None = None, say: Say | None = None
) -> LabelledFolder:
    """List the images of a folder and number their classes.

    Parameters
    ----------
    root : Path
        A folder of class folders, with images at any depth below them.
    classes : tuple of str, optional
        The classes to number by; by default those of the folder, sorted.
    say : callable, optional
        Told in lines what is ignored, and what is unusual about the classes.

    Returns
    -------
    LabelledFolder
        The images in the order of their paths.

    Raises
    ------
    DiloError
        If there is no image, an image lies in no class folder, or a class of the
        folder is not among `classes`.
    """
    names = find_images(root, say=say)
    labels = labels_of(names, str(root), classes=classes)
    if say is not None and classes is None:
        _say_all(say, class_remarks(labels.classes, str(root)))
    return LabelledFolder(root, names, torch.from_numpy(labels.numbers), labels.classes)


def any_folder(root: Path, *, say: Say | None = None) -> LabelledFolder:
    """List the images of a folder, with their classes where all lie in class folders.

    Parameters
    ----------
    root : Path
        Any folder with images, at any depth.
    say : callable, optional
        Told in lines what is ignored, and what is unusual about the classes.

    Returns
    -------
    LabelledFolder
        The images in the order of their paths.

    Raises
    ------
    DiloError
        If there is no image.
    """
    names = find_images(root, say=say)
    if all("/" in name for name in names):
        labels = labels_of(names, str(root))
        if say is not None:
            _say_all(say, class_remarks(labels.classes, str(root)))
        return LabelledFolder(root, names, torch.from_numpy(labels.numbers), labels.classes)
    return LabelledFolder(root, names, torch.full((len(names),), -1), ())


def _say_all(say: Say, lines: Iterable[str]) -> None:
    """Say lines."""
    for line in lines:
        say(line)
