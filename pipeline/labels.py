"""The classes of images: each image is of the class that its first folder names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError, few
from dilo.pipeline.names import Names, escaped


@dataclass(frozen=True, eq=False)
class Labels:
    """The class of each image of a list.

    Attributes
    ----------
    numbers : ndarray of shape (N,), int64
        Positions in `classes`.
    classes : tuple of str
        Names of the classes.
    """

    numbers: NDArray[np.int64]
    classes: tuple[str, ...]


def labels_of(names: Names, what: str, *, classes: Sequence[str] | None = None) -> Labels:
    """Give each image the number of its class.

    Parameters
    ----------
    names : Names
        Relative paths.
    what : str
        Where they are, for messages.
    classes : sequence of str, optional
        The classes to number by; by default those there are, sorted.

    Returns
    -------
    Labels
        One number an image.

    Raises
    ------
    DiloError
        If an image lies in no class folder, or its class is not among `classes`.
    """
    found: dict[str, None] = {}
    for name in names:
        folder, slash, _ = name.partition("/")
        if not slash:
            raise DiloError(
                f"{what} must hold a folder for each class, got the image {escaped(name)} "
                "outside any: move it into the folder of its class"
            )
        found[folder] = None
    numbers = {name: i for i, name in enumerate(sorted(found) if classes is None else classes)}
    if unknown := sorted(found.keys() - numbers.keys()):
        raise DiloError(
            f"classes of {what} must be among the {len(numbers)} of the training images, "
            f"got {few(unknown)}: rename or remove these folders"
        )
    labels = np.fromiter((numbers[name.partition("/")[0]] for name in names), np.int64, len(names))
    return Labels(labels, tuple(numbers))
