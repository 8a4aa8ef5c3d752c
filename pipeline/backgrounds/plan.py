"""Begin a store of backgrounds: which images, and by which masks."""

import dataclasses
from pathlib import Path

import numpy as np

from dilo.pipeline.compute.worker import single_threaded
from dilo.pipeline.errors import StoreError
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.store.maskstore import MaskStore
from dilo.pipeline.store.plan import IMAGES
from dilo.pipeline.store.status import require_complete


def open_complete_masks(folder: Path) -> MaskStore:
    """Open the masks that crops are to be cut by."""
    masks = MaskStore(folder)
    require_complete(folder, masks.plan, f"--masks {folder}")
    return masks


def with_masks(images: ImageSelection, masks: MaskStore) -> ImageSelection:
    """Take the images that have masks, unless there is a list."""
    return dataclasses.replace(images, list_file=images.list_file or masks.folder / IMAGES)


def require_masks(names: Names, masks: MaskStore) -> None:
    """Refuse images without masks."""
    if names == masks.names:
        return
    missing = [name for name in names if name not in masks.names]
    if missing:
        raise StoreError(
            f"--masks {masks.folder} must have every image, got none of {len(missing)}, such as "
            f"{escaped(missing[0])}: make their masks, or exclude them"
        )


def precompile(masks: MaskStore) -> None:
    """Compile what finds windows, if this machine has not yet: before workers all would."""
    with single_threaded():
        from dilo.pipeline.backgrounds.windows import largest_windows

        blank = np.zeros((masks.plan.size, masks.plan.size), np.uint8)
        largest_windows(blank, blank.shape, response=0, min_side=1, count=1)
