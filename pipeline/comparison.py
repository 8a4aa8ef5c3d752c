"""Show stores of masks side by side: of each image, what each of several methods makes of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from dilo.pipeline.errors import ImageError, StoreError
from dilo.pipeline.images import decode
from dilo.pipeline.imported import IMPORTED
from dilo.pipeline.names import Names, escaped
from dilo.pipeline.plan import Plan
from dilo.pipeline.preview import mask_picture
from dilo.pipeline.rows import FAILED
from dilo.pipeline.sheets import Picture, fitted, notice, sheet
from dilo.pipeline.store import MaskStore


@dataclass(frozen=True, eq=False)
class Comparison:
    """Stores of masks, and the images of which all have one.

    Attributes
    ----------
    stores : tuple of MaskStore
        In the order given; of any sizes.
    names : Names
        The images that all have, by path: in the stores' order if that is one, else sorted.
    left_out : int
        How many images only some of the stores have.
    """

    stores: tuple[MaskStore, ...]
    names: Names
    left_out: int

    @classmethod
    def opened(cls, folders: Sequence[Path]) -> Self:
        """Open stores, and match their images by path, as images.txt names them.

        Parameters
        ----------
        folders : sequence of Path
            The stores, at least one.

        Returns
        -------
        Comparison
            Ready to be drawn.

        Raises
        ------
        StoreError
            If one is no store of masks, or no image is in all of them.
        """
        for folder in folders:
            if (kind := Plan.load(folder).kind) != "masks":
                raise StoreError(
                    f"{folder} must be a store of masks to stand beside others, got kind "
                    f"{kind!r}: preview it alone"
                )
        stores = tuple(MaskStore(folder) for folder in folders)
        names = stores[0].names
        if all(store.names == names for store in stores):
            return cls(stores, names, 0)
        shared, known = set(names), set(names)
        for number, store in enumerate(stores[1:], start=1):
            shared &= (these := set(store.names))
            known |= these
            if not shared:
                others = " and ".join(map(str, folders[:number]))
                raise StoreError(
                    f"{folders[number]} must have masks of images of {others}, got none by the "
                    f"same path: it has {escaped(store.names[0])}, not {escaped(names[0])}: "
                    "make the masks of one folder of images"
                )
        return cls(stores, Names(sorted(shared)), len(known) - len(shared))

    def titles(self) -> list[str]:
        """Name each store by what made its masks.

        Returns
        -------
        list of str
            The method and its refinement, of imported masks the folder; where that is the same
            of several, a second line has as much of their folders as tells them apart.
        """
        titles = [_title(store) for store in self.stores]
        counts = Counter(titles)
        alike = {
            store.folder
            for store, title in zip(self.stores, titles, strict=True)
            if counts[title] > 1
        }
        depth = 1
        while len({_end(folder, depth) for folder in alike}) < len(alike):
            depth += 1
        return [
            f"{title}\n{escaped(_end(store.folder, depth))}" if counts[title] > 1 else title
            for store, title in zip(self.stores, titles, strict=True)
        ]

    def sheet(self, images: Path, chosen: Sequence[str]) -> Image.Image:
        """Draw the sheet.

        Parameters
        ----------
        images : Path
            Folder that the stores' paths are relative to.
        chosen : sequence of str
            Which of `names`, at least one.

        Returns
        -------
        Image
            A row an image: the image, then its mask in each store with how much that covers; the
            reason in place of a mask that failed, or of an image that cannot be read.

        Raises
        ------
        StoreError
            If a shard is missing or damaged.
        """
        reasons = [_reasons(store, chosen) for store in self.stores]
        rows = [
            self._row(images, name, [failed.get(name) for failed in reasons]) for name in chosen
        ]
        return sheet(rows, heads=["image", *self.titles()], tight=True)

    def _row(self, images: Path, name: str, reasons: list[str | None]) -> list[Picture]:
        """Make the cells of one image."""
        caption = escaped(name).rsplit("/", 1)[-1]
        failed = [None if reason is None else Picture(notice(reason)) for reason in reasons]
        try:
            # As the sheet will scale it: a thousand whole photographs would fill the memory.
            image = np.asarray(fitted(decode(images / name)))
        except ImageError as error:
            blanks = [cell or Picture(notice("")) for cell in failed]
            return [Picture(notice(str(error)), caption), *blanks]
        made = zip(self.stores, failed, strict=True)
        return [
            Picture(image, caption),
            *(cell or mask_picture(store[name], image) for store, cell in made),
        ]


def _title(store: MaskStore) -> str:
    """Name what made a store's masks."""
    method, refinement = store.plan.method, store.plan.parameters.get("refine")
    if method == IMPORTED:
        return escaped(store.folder.name)
    return f"{method} + {refinement['method']}" if refinement else method


def _end(folder: Path, depth: int) -> str:
    """Give the last parts of a path."""
    return "/".join(folder.parts[-depth:])


def _reasons(store: MaskStore, names: Sequence[str]) -> dict[str, str]:
    """Tell which of some images failed, and why."""
    positions = np.array([store.position(name) for name in names], np.int64)
    states, errors = store.values(positions, "status", "error")
    return {
        name: error.decode()
        for name, state, error in zip(names, states, errors, strict=True)
        if state == FAILED
    }
