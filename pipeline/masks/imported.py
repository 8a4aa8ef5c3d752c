"""Masks that were made elsewhere: a folder of pictures becomes a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import splitext

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.compute.shard import ShardOpener, per_image_work
from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images.decoding import decode_reduced, read_file
from dilo.pipeline.images.listing import is_nonempty_folder
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.masks.files import SUFFIXES, read_mask, require_same_picture
from dilo.pipeline.masks.pngs import ambiguous_names, stem
from dilo.pipeline.store.create import StoreSpec
from dilo.pipeline.store.plan import Plan, cached_names

#: What plan.json calls the method of such a store.
IMPORTED = "imported"
#: Raised when the same PNGs come to give other masks.
VERSION = 1


def imported_spec(pngs: Names, size: int) -> StoreSpec:
    """Say what a store of these masks is, so that a PNG that came or went since is noticed."""
    return StoreSpec("masks", IMPORTED, {"pngs": pngs.digest(), "version": VERSION}, size)


def count_masks(names: Names, pngs: Names, folder: Path) -> int:
    """Count the images that have a mask in a folder."""
    return len(match_masks(names, pngs, f"--png {folder} must"))


def match_masks(names: Names, pngs: Names, rule: str) -> dict[int, str]:
    """Find the masks of images by their names."""
    full = {names[i] for i in ambiguous_names(names)}
    there_are = {splitext(png)[1] for png in pngs}
    suffixes = [suffix for suffix in SUFFIXES if suffix in there_are]
    suffixes += sorted(there_are.difference(SUFFIXES))  # in capitals
    found: dict[int, str] = {}
    for position, name in enumerate(names):
        there = (png for png in mask_names(name, full, suffixes) if png in pngs)
        if (first := next(there, None)) is not None:
            found[position] = first
    if not found:
        wanted = " or ".join(map(escaped, mask_names(names[0], full)))
        raise DiloError(
            f"{rule} hold masks named like the images, such as {wanted} for "
            f"{escaped(names[0])}, got none for any of {len(names)} images"
        )
    return found


def mask_names(name: str, full: set[str], suffixes: Sequence[str] = (".png",)) -> list[str]:
    """Name the files that may be an image's mask, the first that is there being it."""
    bases = [name] if name in full else [stem(name), name]
    return [base + suffix for suffix in suffixes for base in bases]


@dataclass(frozen=True)
class ImportSource:
    """Ready masks of a folder."""

    #: The folder.
    folder: Path

    def open(self, store: Path, plan: Plan) -> ShardOpener:
        """Learn which images' masks must keep their extension."""
        names = cached_names(store, plan.digest)
        full = {names[i] for i in ambiguous_names(names)}

        def make(path: str, content: bytes) -> tuple[NDArray[np.uint8], tuple[int, int]]:
            whole = decode_reduced(content, 1)[1]
            mask = read_mask(_first_existing(self.folder, path, full, content))
            require_same_picture(mask.shape, whole)
            return squash(mask, plan.size), whole

        return per_image_work(make, plan.size)


def _first_existing(folder: Path, name: str, full: set[str], content: bytes) -> Path:
    """Find the mask of an image, which is not the image itself."""
    for file in mask_names(name, full, SUFFIXES):
        path = folder / file
        if path.exists() and (file.endswith(".png") or read_file(path) != content):
            return path
    if is_nonempty_folder(folder):
        raise ImageError(f"no mask: {' or '.join(map(escaped, mask_names(name, full)))}")
    raise DiloError(
        f"--png {folder} must hold the masks, got nothing there: is the disk mounted? "
        f"Finished shards are kept; give the same command to go on"
    )
