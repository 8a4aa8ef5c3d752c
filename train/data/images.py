"""The images of a run with their masks, and what stands in for one that cannot be read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError, ImageError, require_access
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.presence import require_images
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.images.source import ImageSource
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.rows import FAILED

#: Seconds for which the images of a folder are counted at most, to say what share a store lists.
COUNTING = 3.0


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of a run, and their masks."""

    #: Where they are read.
    images: ImageSource
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
    #: Which of them were asked for; `names` are of these.
    selection: ImageSelection | None = None
    #: Row of the store for each image, -1 where it has none; None where they are the same.
    rows: NDArray[np.int64] | None = None

    @property
    def folder(self) -> Path:
        """Return what --images names, for messages."""
        return self.images.path

    @property
    def is_narrowed(self) -> bool:
        """Check whether they are a part of the folder, by a user's choice."""
        return self.selection is not None and self.selection.is_narrowed

    def class_names(self) -> Sequence[str] | None:
        """Find the class of each image, by a file or by the source; None if folders name them."""
        return (
            None if self.selection is None else self.selection.class_names(self.names, self.images)
        )

    def mask(self, index: int) -> NDArray[np.uint8]:
        """Read the mask of an image of a run with masks."""
        if self.store is None:
            raise ValueError("an image set must have a store of masks to read one, got none")
        return self.store[index if self.rows is None else int(self.rows[index])]

    @property
    def without_row(self) -> int:
        """Count the selected images that the store of masks does not list."""
        return 0 if self.rows is None else int((self.rows < 0).sum())

    @property
    def unreadable(self) -> int:
        """Count the images whose rows in the store of masks failed."""
        return len(self.names) - len(self.indices) - self.without_row

    @property
    def never_pasted(self) -> int:
        """Count the images to train on whose mask holds too little, of a run with masks."""
        return int((~self.has_mask[self.indices]).sum()) if self.store else 0

    def share(self) -> str:
        """Describe how many images are trained on, of how many, and why not the others."""
        usable, count = len(self.indices), len(self.names)
        if self.selection is not None and self.is_narrowed:
            by = f"by {self.selection.describe()}"
            if self.without_row:
                return f"{usable} of {count} images {by}: those with masks"
            return f"{usable} images {by}"
        total = count if self.in_folder is None else self.in_folder
        if total > count:
            return f"{usable} of {total} images: those with masks"
        if total < count:
            return f"{usable} images, though {self.folder} holds only {total} of {count} listed"
        return f"{usable} images"


def find_image_set(
    images: Path | ImageSelection,
    masks: Path | None,
    min_coverage: float = 0.0,
    *,
    option: str = "--masks",
    say: Callable[[str], object] | None = None,
) -> ImageSet:
    """List the images of a run: those of the store of masks, or of the folder.

    Of a selection, these are the images that are selected; with masks, those to train on have one.
    """
    selection = ImageSelection.of(images)
    source = selection.open(masks)
    if masks is None:
        names = selection.names(say=say)
        count = len(names)
        has_mask = np.zeros(count, bool)
        return ImageSet(source, names, np.arange(count), has_mask, None, selection=selection)
    store = MaskStore(masks)
    status, coverage = store.columns("status", "coverage")
    made = status != FAILED
    if not made.any():
        raise DiloError(f"{option} {masks}: every image failed; see dilo-prep status {masks}")
    pasteable = (coverage >= min_coverage) & (coverage > 0)  # 0 where it failed
    names, rows = store.names, None
    if selection.is_narrowed:
        names = selection.names_among(store.names, str(masks), source)
        rows = _rows_of(names, store.names)
        made, pasteable = made[rows] & (rows >= 0), pasteable[rows] & (rows >= 0)
    usable = np.flatnonzero(made)
    if not len(usable):
        raise DiloError(
            f"{option} {masks} must have masks of the images by {selection.describe()}, got none "
            f"of {len(names)}, such as {escaped(names[0])}: make masks of these images"
        )
    first = names[int(usable[0])]
    if source.size(first) < 0:
        raise DiloError(
            f"{option} {masks} must be of the images of --images {source.path}: "
            f"its first image, {escaped(first)}, is not there: {source.whereabouts(first)}"
        )
    require_images(source, names, rows=usable.tolist())
    in_folder = None if selection.is_narrowed else source.count(COUNTING)
    return ImageSet(source, names, usable, pasteable, store, in_folder, selection, rows)


def _rows_of(names: Names, store_names: Names) -> NDArray[np.int64]:
    """Find the row of each image in a store; -1 where it has none."""
    rows = (store_names.index(name) if name in store_names else -1 for name in names)
    return np.fromiter(rows, np.int64, len(names))


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
            require_access(error, source.images.location(names[int(usable[row])]))
            reason = str(error)
    raise DiloError(
        f"--images {source.folder}: {MAX_SUBSTITUTES} images from "
        f"{escaped(names[index])} on cannot be read, the last because: {reason}"
    )
