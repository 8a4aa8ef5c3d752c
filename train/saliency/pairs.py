"""Images and what is to be found in them: masks of people in a folder, or those of a store."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.masks.files import mask_files, read_mask, remarks, require_same_picture
from dilo.pipeline.masks.imported import match_masks
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.rows import FAILED
from dilo.train.data.images import ImageSet, find_image_set

#: How many of the images left out are named.
NAMED = 3


@dataclass(frozen=True, eq=False)
class ImageMaskPairs:
    """Images to train on, each with a mask."""

    #: The images; those to train on are its `indices`.
    source: ImageSet
    #: Paths of their masks below `folder`, as many as usable images; None for a store's.
    pngs: Names | None
    #: Of the masks, or the store.
    folder: Path
    #: What is left out, in words: how many, why, and the first by name; and what is odd about the
    #: masks.
    skipped: tuple[str, ...]
    #: Stores of other masks of the same images: what is learnt is the mean of all.
    others: tuple[MaskStore, ...] = ()

    @property
    def soft(self) -> bool:
        """Check whether the masks are saliency, not labels."""
        return self.pngs is None

    def digest(self) -> str:
        """Return a digest of the masks, which a resumed run compares."""
        if self.source.store is not None:
            return "+".join(store.fingerprint for store in (self.source.store, *self.others))
        text = "" if self.pngs is None else self.pngs.text()
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, position: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Read an image and its mask."""
        image = self.source.images.decode(self.source.names[position])
        if self.source.store is not None:
            return image, self._mean_mask(position)
        row = int(np.searchsorted(self.source.indices, position))
        mask = read_mask(self.folder / (self.pngs or ())[row])
        require_same_picture(mask.shape, (image.shape[0], image.shape[1]))
        return image, mask

    def _mean_mask(self, position: int) -> NDArray[np.uint8]:
        """Average the masks of an image, at the size of the first store's."""
        mask = self.source.mask(position)
        if not self.others:
            return mask
        side, name = mask.shape[0], self.source.names[position]
        others = [cv2.resize(store[name], (side, side)) for store in self.others]
        mean: NDArray[np.float64] = np.mean([mask, *others], axis=0)
        return np.rint(mean).astype(np.uint8)

    def squashed_mask(self, mask: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
        """Squash a mask to a square: labels by their nearest, a store's soft ones bilinearly."""
        # The exact one takes the pixel nearest to the middle; OpenCV's other takes its left.
        interpolation = cv2.INTER_LINEAR if self.soft else cv2.INTER_NEAREST_EXACT
        return np.asarray(cv2.resize(mask, (side, side), interpolation=interpolation), np.uint8)


def squash_image(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Squash an image to a square, without a filter against aliasing, as BASNet's authors do."""
    squashed = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(squashed, np.uint8)


def find_pairs(
    images: Path | ImageSelection,
    truth: Path,
    min_coverage: float = 0.0,
    *,
    others: Sequence[Path] = (),
    option: str = "--truth",
) -> ImageMaskPairs:
    """Pair the images of a folder with masks; of several stores, with the mean of their masks."""
    selection = ImageSelection.of(images)
    folders = [folder for folder in (truth, *others) if not (folder / "plan.json").exists()]
    if folders and others:
        raise DiloError(
            f"{option}, given again, must be a store each time, got {folders[0]}, which has no "
            "plan.json: give that folder alone, or import it with dilo-prep import --png"
        )
    if folders:
        return _pairs_of_folder(selection, truth, option)
    pairs = _pairs_of_store(selection, truth, min_coverage, option)
    for other in others:
        pairs = _with_store(pairs, other, option)
    return pairs


def _pairs_of_store(
    images: ImageSelection, truth: Path, min_coverage: float, option: str
) -> ImageMaskPairs:
    """Pair images with the masks of a store, but those that failed, are empty or too small."""
    source = find_image_set(images, truth, min_coverage, option=option)
    store = MaskStore(truth)
    status, coverage = store.columns("status", "coverage")
    unlisted = np.zeros(len(source.names), bool)
    if source.rows is not None:
        status, coverage, unlisted = status[source.rows], coverage[source.rows], source.rows < 0
    failed, empty = (status == FAILED) & ~unlisted, (coverage == 0) & ~unlisted
    has_mask = source.has_mask & ~failed
    too_small = ~(has_mask | failed | empty | unlisted)
    if not has_mask.any():
        raise DiloError(
            f"{option} {truth} must have masks that cover at least {min_coverage:g} of the image, "
            f"and anything, got none among {len(coverage)}: lower data.min_coverage, or look at "
            f"them with dilo-prep preview"
        )
    skipped = _skipped_lines(
        source.names,
        {
            f"without a mask in {truth}": unlisted,
            "for which no mask could be made": failed,
            "whose mask is empty": empty & ~failed,
            f"whose mask covers under {min_coverage:g}": too_small,
        },
    )
    usable = np.flatnonzero(has_mask)
    usable_source = dataclasses.replace(source, indices=usable, has_mask=has_mask)
    return ImageMaskPairs(usable_source, None, truth, skipped)


def _with_store(pairs: ImageMaskPairs, folder: Path, option: str) -> ImageMaskPairs:
    """Add the masks of another store; images that have none there but empty ones are left out."""
    source, store = pairs.source, MaskStore(folder)
    status, coverage = store.columns("status", "coverage")
    serves = (status != FAILED) & (coverage > 0)
    made = {name for name, yes in zip(store.names, serves.tolist(), strict=True) if yes}
    has_mask = source.has_mask.copy()
    for position in source.indices.tolist():
        has_mask[position] = source.names[position] in made
    if not has_mask.any():
        raise DiloError(
            f"{option} {folder} must have masks of the images of {option} {pairs.folder} that are "
            f"not empty, got none of {len(source.indices)}: make it from the same --images, and "
            "look at it with dilo-prep preview"
        )
    missing = source.has_mask & ~has_mask
    skipped = _skipped_lines(source.names, {f"without a mask of anything in {folder}": missing})
    return dataclasses.replace(
        pairs,
        source=dataclasses.replace(source, indices=np.flatnonzero(has_mask), has_mask=has_mask),
        skipped=(*pairs.skipped, *skipped),
        others=(*pairs.others, store),
    )


def _pairs_of_folder(images: ImageSelection, truth: Path, option: str) -> ImageMaskPairs:
    """Find the mask of each image by its name."""
    passed_over: list[str] = []
    names = images.names(say=passed_over.append)
    pngs = match_masks(
        names, mask_files(truth, images.root), f"{option} {truth} must be a store, or"
    )
    usable = np.array(list(pngs), np.int64)
    has_mask = np.zeros(len(names), bool)
    has_mask[usable] = True
    skipped = _skipped_lines(names, {f"without a mask in {truth}": ~has_mask})
    skipped += (*passed_over, *remarks(truth, list(pngs.values())))
    source = ImageSet(images.open(), names, usable, has_mask, None, selection=images)
    return ImageMaskPairs(source, Names(pngs.values()), truth, skipped)


def _skipped_lines(names: Names, reasons: dict[str, NDArray[np.bool_]]) -> tuple[str, ...]:
    """Describe for each reason how many images are left out, and name the first."""
    lines = []
    for reason, affected in reasons.items():
        if count := int(affected.sum()):
            first = [escaped(names[int(i)]) for i in np.flatnonzero(affected)[:NAMED]]
            ellipsis = ", ..." if count > NAMED else ""
            lines.append(f"{count} skipped {reason}: {', '.join(first)}{ellipsis}")
    return tuple(lines)
