"""What stands in for an image that cannot be read: the next of the list that can."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError, ImageError, require_access
from dilo.pipeline.images.names import Names, escaped

Loaded = TypeVar("Loaded")

#: How many images after an unreadable one are tried in its place.
SUBSTITUTES = 16


class Listed(Protocol):
    """Images that are trained on."""

    @property
    def folder(self) -> Path:
        """Give their folder."""

    @property
    def names(self) -> Names:
        """List their paths, and those of images that are left out."""

    @property
    def usable(self) -> NDArray[np.int64]:
        """Give the positions of those to train on, increasing."""


def first_readable(source: Listed, index: int, load: Callable[[int], Loaded]) -> tuple[Loaded, int]:
    """Load what belongs to an image, or, if it cannot be read, to the next that can.

    Parameters
    ----------
    source : Listed
        The images.
    index : int
        Position in the source's list, of one to train on.
    load : callable
        Loads by position; raises an `ImageError` for what cannot be read.

    Returns
    -------
    object
        What `load` gave.
    int
        Of which of the usable images it is.

    Raises
    ------
    DiloError
        If neither it nor the images after it can be read.
    AccessError
        If the system does not let one be read now: nothing stands in for a picture that may be
        sound.
    """
    usable, names = source.usable, source.names
    first, reason = int(np.searchsorted(usable, index)), ""
    for row in range(first, first + SUBSTITUTES):
        row %= len(usable)
        try:
            return load(int(usable[row])), row
        except ImageError as error:
            require_access(error, source.folder / names[int(usable[row])])
            reason = str(error)
    raise DiloError(
        f"--images {source.folder}: {SUBSTITUTES} images from "
        f"{escaped(names[index])} on cannot be read, the last because: {reason}"
    )
