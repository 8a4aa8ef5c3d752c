"""From images to backgrounds: which windows, then their pixels as JPEGs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.backgrounds.draws import TEXTURE, allot_windows, shuffled_order, texture_windows
from dilo.pipeline.backgrounds.recipe import BackgroundRecipe
from dilo.pipeline.common.rng import generator
from dilo.pipeline.compute.shard import ShardOpener, ShardWork
from dilo.pipeline.errors import DiloError, ImageError, StoreError
from dilo.pipeline.images.decoding import decode_content
from dilo.pipeline.images.encoding import encode_reduced
from dilo.pipeline.images.names import escaped
from dilo.pipeline.store.backgroundrows import NO_WINDOW, NOT_NEEDED, BackgroundRows, Box
from dilo.pipeline.store.maskstore import MaskStore
from dilo.pipeline.store.plan import Plan
from dilo.pipeline.store.rows import FAILED


class WindowFinder(Protocol):
    """The windows of the images of a shard."""

    def count(self, row: int) -> int:
        """Count those of an image, before it is read."""

    def boxes(self, row: int, shape: tuple[int, int], count: int) -> list[Box]:
        """Return the first `count` of them, of an image of this height and width."""


@dataclass(frozen=True)
class BackgroundSource:
    """Backgrounds by the recipe of a store's plan."""

    #: The store of masks, for crops.
    masks: Path | None = None

    def open(self, store: Path, plan: Plan) -> ShardOpener:
        """Open the masks, if the plan has some, or refuse those of another plan."""
        recipe = BackgroundRecipe.from_plan(plan)
        masks = _open_planned_masks(store, recipe, self.masks) if recipe.kind == "crops" else None

        def open_shard(images: range, paths: list[str]) -> ShardWork:
            rows = BackgroundRows.empty([escaped(path) for path in paths])
            windows: WindowFinder = _WholeImages()
            if masks is not None:
                windows = _Crops(masks, recipe, paths, rows)
            elif recipe.kind == "textures":
                windows = _Textures(recipe, plan.size, images)
            counts = _windows_per_image(plan, recipe, images, windows)
            for row in range(len(paths)):
                if not rows.error[row] and not counts.get(row):
                    rows.skipped[row] = NO_WINDOW if row in counts else NOT_NEEDED
            todo = sorted(row for row, count in counts.items() if count)
            return ShardWork(rows, todo, _background_function(plan, recipe, rows, windows, counts))

        return open_shard


def _open_planned_masks(store: Path, recipe: BackgroundRecipe, folder: Path | None) -> MaskStore:
    """Open the masks that crops are cut by."""
    if folder is None:
        raise DiloError(f"{store} holds crops: dilo-prep backgrounds --masks STORE resumes it")
    masks = MaskStore(folder)
    if masks.fingerprint != recipe.masks:
        raise StoreError(
            f"--masks {folder} must be the masks that {store} was planned with, of fingerprint "
            f"{recipe.masks}, got {masks.fingerprint}: give those, or a new folder"
        )
    return masks


def _windows_per_image(
    plan: Plan, recipe: BackgroundRecipe, images: range, windows: WindowFinder
) -> dict[int, int]:
    """Count the windows to take of each image that was visited."""
    quota = recipe.quota(images, plan.images)
    if quota is None:
        return allot_windows(range(len(images)), windows.count, None)
    order = shuffled_order(recipe.seed, images.start // plan.shard_size, len(images))
    return allot_windows(order, windows.count, quota)


def _background_function(
    plan: Plan,
    recipe: BackgroundRecipe,
    rows: BackgroundRows,
    windows: WindowFinder,
    counts: dict[int, int],
) -> Callable[[int, bytes], None]:
    """Make the function that fills a row with the backgrounds of its image."""

    def process_row(row: int, content: bytes) -> None:
        pixels = decode_content(content)
        shape = (pixels.shape[0], pixels.shape[1])
        boxes = windows.boxes(row, shape, counts[row])
        jpegs = [
            encode_reduced(_cut_window(pixels, box), plan.size, recipe.quality) for box in boxes
        ]
        rows.shape[row], rows.boxes[row], rows.jpegs[row] = shape, boxes, jpegs

    return process_row


def _cut_window(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Cut out a window, which in a texture may go beyond the end."""
    top, left, height, width = box
    if top + height <= pixels.shape[0] and left + width <= pixels.shape[1]:
        return pixels[top : top + height, left : left + width]
    return tile(pixels, box)


def tile(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Cut a box out of the endlessly repeated picture, over any edge, any number of times.

    Examples
    --------
    >>> pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    >>> tile(pixels, (1, 2, 2, 4))[:, :, 0]
    array([[5, 3, 4, 5],
           [2, 0, 1, 2]], dtype=uint8)
    """
    top, left, height, width = box
    rows = np.take(pixels, range(top, top + height), axis=0, mode="wrap")
    return np.take(rows, range(left, left + width), axis=1, mode="wrap")


class _WholeImages:
    """Images are windows of themselves."""

    def count(self, row: int) -> int:
        """Count one."""
        return 1

    def boxes(self, row: int, shape: tuple[int, int], count: int) -> list[Box]:
        """Return all of it."""
        return [(0, 0, *shape)]


class _Textures:
    """Squares of textures, at places drawn for each image."""

    def __init__(self, recipe: BackgroundRecipe, side: int, images: range) -> None:
        self.recipe, self.side, self.images = recipe, side, images

    def count(self, row: int) -> int:
        """Count as many as are asked for: a texture repeats for ever."""
        return self.recipe.crops

    def boxes(self, row: int, shape: tuple[int, int], count: int) -> list[Box]:
        """Draw them all, so that they are the same however many are taken."""
        rng = generator(self.recipe.seed, TEXTURE, self.images[row])
        return texture_windows(shape, self.side, self.recipe.crops, rng)[:count]


class _Crops:
    """Windows that masks leave free; rows of images whose mask failed fail as well."""

    def __init__(
        self, masks: MaskStore, recipe: BackgroundRecipe, paths: list[str], rows: BackgroundRows
    ) -> None:
        self.masks, self.recipe, self.rows = masks, recipe, rows
        self.positions = np.array([masks.position(path) for path in paths], np.int64)
        status, errors, self.shapes, self.crc32 = masks.values(
            self.positions, "status", "error", "shape", "file_crc32"
        )
        self.failed = status == FAILED
        for row in np.flatnonzero(self.failed).tolist():
            rows.error[row] = f"its mask failed: {errors[row].decode()}"
        self.windows: dict[int, list[Box]] = {}

    def count(self, row: int) -> int:
        """Find them in the mask alone."""
        # numba comes with it, which must find its threads limited: see single_threaded.
        from dilo.pipeline.backgrounds.windows import largest_windows

        if self.failed[row]:
            return 0
        height, width = self.shapes[row].tolist()
        self.windows[row] = largest_windows(
            self.masks[self.positions[row]],
            (height, width),
            response=self.recipe.response or 0,
            min_side=self.recipe.min_side or 1,
            max_aspect=self.recipe.max_aspect or math.inf,
            count=self.recipe.crops,
        )
        return len(self.windows[row])

    def boxes(self, row: int, shape: tuple[int, int], count: int) -> list[Box]:
        """Return what `count` found, if this is the image that the mask is of."""
        if self.rows.file_crc32[row] != self.crc32[row]:
            raise ImageError("it must be the file that its mask was made of, got another one")
        return self.windows[row][:count]
