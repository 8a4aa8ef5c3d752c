"""The images of a run with their masks, and what stands in for one that cannot be read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError, ImageError, require_access
from dilo.pipeline.images.folder import require_images, whereabouts
from dilo.pipeline.images.listing import count_images, find_images
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.rows import FAILED

#: Seconds for which the images of a folder are counted at most, to say what share a store lists.
COUNTING = 3.0


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of a run, and their masks."""

    #: Folder of the images.
    folder: Path
    #: Their paths, in order; a sample's number is its position here.
    names: Names
    #: Positions of the images to train on.
    indices: NDArray[np.int64]
    #: Whether an image has a mask with enough in it.
    has_mask: NDArray[np.bool_]
    #: The masks.
    store: MaskStore | None
    #: Images in the folder, also those that the store does not list; None where counting them takes
    #: long.
    in_folder: int | None = None

    @property
    def never_pasted(self) -> int:
        """Count the images to train on whose mask holds too little, of a run with masks."""
        return int((~self.has_mask[self.indices]).sum()) if self.store else 0

    def share(self) -> str:
        """Describe how many images are trained on, of how many, and why not the others."""
        usable, count = len(self.indices), len(self.names)
        total = count if self.in_folder is None else self.in_folder
        if total > count:
            return f"{usable} of {total} images: those with masks"
        if total < count:
            return f"{usable} images, though {self.folder} holds only {total} of {count} listed"
        return f"{usable} images"


def find_image_set(
    images: Path,
    masks: Path | None,
    min_coverage: float = 0.0,
    *,
    option: str = "--masks",
    say: Callable[[str], object] | None = None,
) -> ImageSet:
    """List the images of a run: those of the store of masks, or of the folder."""
    if masks is None:
        names = find_images(images, say=say)
        return ImageSet(images, names, np.arange(len(names)), np.zeros(len(names), bool), None)
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
    return ImageSet(images, store.names, usable, pasteable, store, in_folder)


Loaded = TypeVar("Loaded")

#: How many images after an unreadable one are tried in its place.
MAX_SUBSTITUTES = 16


def first_readable(
    source: ImageSet, index: int, load: Callable[[int], Loaded]
) -> tuple[Loaded, int]:
    """Load what belongs to an image, or to the next that can be read; and its row of `indices`."""
    usable, names = source.indices, source.names
    first, reason = int(np.searchsorted(usable, index)), ""
    for row in range(first, first + MAX_SUBSTITUTES):
        row %= len(usable)
        try:
            return load(int(usable[row])), row
        except ImageError as error:
            require_access(error, source.folder / names[int(usable[row])])
            reason = str(error)
    raise DiloError(
        f"--images {source.folder}: {MAX_SUBSTITUTES} images from "
        f"{escaped(names[index])} on cannot be read, the last because: {reason}"
    )
