"""Masks that were made elsewhere: a folder of pictures, or a COCO file, becomes a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import splitext

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.printing import counted
from dilo.pipeline.compute.shard import ShardOpener, per_image_work
from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images.decoding import decode_reduced, read_file
from dilo.pipeline.images.listing import is_nonempty_folder
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.masks.cocoindex import CocoIndex
from dilo.pipeline.masks.files import SUFFIXES, read_mask, require_same_picture
from dilo.pipeline.masks.pngs import ambiguous_names, stem
from dilo.pipeline.store.create import StoreSpec
from dilo.pipeline.store.plan import Plan, cached_names

#: What plan.json calls the method of such a store.
IMPORTED = "imported"
#: Raised when the same PNGs, or the same COCO file, come to give other masks.
VERSION = 1


def imported_spec(pngs: Names, size: int) -> StoreSpec:
    """Describe a store of these masks, so that a PNG that came or went since is noticed."""
    return StoreSpec("masks", IMPORTED, {"pngs": pngs.digest(), "version": VERSION}, size)


def count_masks(names: Names, pngs: Names, folder: Path) -> int:
    """Count the images that have a mask in a folder."""
    return len(match_masks(names, pngs, f"--png {folder} must"))


def match_masks(names: Names, pngs: Names, rule: str) -> dict[int, str]:
    """Find the masks of images by their names: the PNG of each that has one, by its position.

    If none has, that is an error, which begins with the `rule`.
    """
    ambiguous = {names[i] for i in ambiguous_names(names)}
    extensions = {splitext(png)[1] for png in pngs}
    suffixes = [suffix for suffix in SUFFIXES if suffix in extensions]
    suffixes += sorted(extensions.difference(SUFFIXES))  # in capitals
    masks: dict[int, str] = {}
    for position, name in enumerate(names):
        candidates = (png for png in _mask_names(name, ambiguous, suffixes) if png in pngs)
        if (first := next(candidates, None)) is not None:
            masks[position] = first
    if not masks:
        examples = " or ".join(map(escaped, _mask_names(names[0], ambiguous)))
        raise DiloError(
            f"{rule} hold masks named like the images, such as {examples} for "
            f"{escaped(names[0])}, got none for any of {len(names)} images"
        )
    return masks


def _mask_names(name: str, ambiguous: set[str], suffixes: Sequence[str] = (".png",)) -> list[str]:
    """List the files that may be an image's mask, the first that is there being it.

    `ambiguous` has the images whose mask must keep their extension, for others would have it too.
    """
    bases = [name] if name in ambiguous else [stem(name), name]
    return [base + suffix for suffix in suffixes for base in bases]


@dataclass(frozen=True)
class ImportSource:
    """Ready masks of a folder."""

    #: The folder.
    folder: Path

    def open(self, store: Path, plan: Plan) -> ShardOpener:
        """Open the masks of a store's images."""
        return self.opener(cached_names(store, plan.digest), plan.size)

    def opener(self, names: Names, size: int) -> ShardOpener:
        """Find which images' masks must keep their extension, and open the masks."""
        ambiguous = {names[i] for i in ambiguous_names(names)}

        def make(path: str, content: bytes) -> tuple[NDArray[np.uint8], tuple[int, int]]:
            shape = decode_reduced(content, 1)[1]
            mask = read_mask(_first_existing(self.folder, path, ambiguous, content))
            require_same_picture(mask.shape, shape)
            return squash(mask, size), shape

        return per_image_work(make, size)


def _first_existing(folder: Path, name: str, ambiguous: set[str], content: bytes) -> Path:
    """Find the mask of an image, which is not the image itself."""
    for file in _mask_names(name, ambiguous, SUFFIXES):
        path = folder / file
        if path.exists() and (file.endswith(".png") or read_file(path) != content):
            return path
    if is_nonempty_folder(folder):
        raise ImageError(f"no mask: {' or '.join(map(escaped, _mask_names(name, ambiguous)))}")
    raise DiloError(
        f"--png {folder} must hold the masks, got nothing there: is the disk mounted? "
        f"Finished shards are kept; run the same command to resume"
    )


def coco_spec(index: CocoIndex, size: int) -> StoreSpec:
    """Describe a store of the masks of a COCO file, such that no other file resumes it."""
    return StoreSpec("masks", IMPORTED, {"coco": index.digest, "version": VERSION}, size)


@dataclass(frozen=True)
class CocoSource:
    """Masks of a COCO file."""

    #: The file.
    file: Path

    def open(self, store: Path, plan: Plan) -> ShardOpener:
        """Load the index that the store keeps, and refuse a file that the store is not of."""
        index = CocoIndex.find(self.file, store)
        if index.digest != plan.parameters["coco"]:
            raise DiloError(
                f"--coco {self.file} must be the file that the store was planned with, of SHA-256 "
                f"{plan.parameters['coco']}, got {index.digest}: give that file, or a fresh --out"
            )
        return coco_opener(index, plan.size)


def coco_opener(index: CocoIndex, size: int) -> ShardOpener:
    """Open the masks of a COCO file."""

    def make(path: str, content: bytes) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        shape = decode_reduced(content, 1)[1]
        mask = index.mask(path, shape)
        require_same_picture(mask.shape, shape)
        return squash(mask, size), shape

    return per_image_work(make, size)


def match_coco(names: Names, index: CocoIndex) -> list[str]:
    """Say which images a COCO file has masks of, and which it has not; refuse one of other images.

    Returns lines for people.
    """
    listed = np.zeros(len(index.names), np.bool_)
    for name in names:
        if name in index.names:
            listed[index.names.index(name)] = True
    count = int(listed.sum())
    if not count:
        raise DiloError(
            f"--coco {index.file} must list the images by their paths below --images, got "
            f"{escaped(index.names[0])} and others, but images such as {escaped(names[0])}: give "
            "the folder that its file_name begins in"
        )
    empty = int((listed & (index.annotation_counts() == 0)).sum())
    lines = [f"{count - empty} of {len(names)} images have a mask in {index.file}"]
    if empty:
        lines.append(f"{counted(empty, 'image')} listed there without an annotation: empty masks")
    if others := [escaped(index.names[i]) for i in np.flatnonzero(~listed)[:4].tolist()]:
        lines.append(
            f"{counted(len(listed) - count, 'more image')} listed there, not among the images: "
            f"{', '.join(others[:3])}{', ...' if len(others) > 3 else ''}"
        )
    return lines
