"""The classes of images: each image is of the class that its first folder names."""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError, first_few
from dilo.pipeline.images.names import Names, escaped


@dataclass(frozen=True, eq=False)
class Labels:
    """The class of each image of a list."""

    #: Positions in `classes`.
    numbers: NDArray[np.int64]
    #: Names of the classes.
    classes: tuple[str, ...]


#: Folders of a data set's parts, which are seldom classes.
_PART_NAMES = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))


def are_numbers(classes: Iterable[str]) -> bool:
    """Check whether all names of classes are whole numbers, and so indices of classes."""
    return all(name.isascii() and name.isdigit() and len(name) < 19 for name in classes)


def sorted_classes(classes: Iterable[str]) -> list[str]:
    """Sort names of classes: as text, but where all are whole numbers, as numbers.

    Examples
    --------
    >>> sorted_classes(["10", "9", "08"]), sorted_classes(["10", "9", "a"])
    (['08', '9', '10'], ['10', '9', 'a'])
    """
    names = sorted(classes)
    return sorted(names, key=int) if are_numbers(names) else names


def sorted_by_number(classes: Sequence[str]) -> bool:
    """Check whether classes stand in another order as numbers than they would as text."""
    return are_numbers(classes) and list(classes) != sorted(classes)


def class_remarks(classes: Sequence[str], source: str) -> list[str]:
    """List what is unusual about classes, a line each."""
    lines = []
    if sorted_by_number(classes):
        examples = ", ".join([*classes[:3], "...", classes[-1]] if len(classes) > 4 else classes)
        lines.append(f"{source}: classes are whole numbers and sorted as numbers: {examples}")
    if part_names := [escaped(name) for name in classes if name.lower() in _PART_NAMES]:
        lines.append(
            f"{source}: classes are named {' and '.join(part_names)}, as parts of a data set are: "
            f"is {part_names[0]} in it the right folder?"
        )
    return lines


def folder_classes(names: Names, source: str) -> list[str]:
    """Take the first folder of each image for its class; refuse an image outside any."""
    classes = []
    for name in names:
        folder, slash, _ = name.partition("/")
        if not slash:
            raise DiloError(
                f"{source} must hold a folder for each class, got the image {escaped(name)} "
                "outside any: move it into the folder of its class, or name the classes of the "
                "images in a file by --labels FILE"
            )
        classes.append(sys.intern(folder))
    return classes


def labels_of(
    names: Names,
    source: str,
    *,
    classes: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
) -> Labels:
    """Find the class of each image, numbered by `classes`, or by the images' own, sorted.

    `class_names` has the class of each; unless given, it is the first folder of the image.
    """
    own = folder_classes(names, source) if class_names is None else class_names
    present = dict.fromkeys(own)
    numbers = {
        name: i for i, name in enumerate(sorted_classes(present) if classes is None else classes)
    }
    if unknown := sorted(present.keys() - numbers.keys()):
        advice = "rename or remove these folders" if class_names is None else "check their labels"
        raise DiloError(
            f"classes of {source} must be among the {len(numbers)} of the training images, "
            f"got {first_few(unknown)}: {advice}"
        )
    labels = np.fromiter((numbers[name] for name in own), np.int64, len(names))
    return Labels(labels, tuple(numbers))


def of_classes(
    names: Names, class_names: Sequence[str] | None, classes: Sequence[str], source: str
) -> tuple[Names, Sequence[str] | None]:
    """Leave out the images of other classes, and their classes; all stay where none would."""
    known = set(classes)
    own = folder_classes(names, source) if class_names is None else class_names
    rows = [row for row, name in enumerate(own) if name in known]
    if not rows or len(rows) == len(names):
        return names, class_names
    labels = None if class_names is None else [class_names[row] for row in rows]
    return Names(names[row] for row in rows), labels


def labels_digest(class_names: Sequence[str] | None) -> str:
    """Digest classes that do not follow from the names of their images; empty if they do."""
    if class_names is None:
        return ""
    return hashlib.sha256("\n".join(class_names).encode(errors="surrogateescape")).hexdigest()
