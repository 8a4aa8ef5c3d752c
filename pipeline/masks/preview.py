"""Show a store of masks, or several side by side: images, masks and foregrounds on a sheet."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.pipeline.errors import ImageError, StoreError
from dilo.pipeline.images.names import Names, escaped, short_names
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.images.sheets import BLANK, Picture, fit, sheet, text_cell
from dilo.pipeline.images.source import ImageSource
from dilo.pipeline.masks.imported import IMPORTED
from dilo.pipeline.store.maskstore import MaskStore
from dilo.pipeline.store.plan import Plan
from dilo.pipeline.store.rows import FAILED

#: Gray that stands for what the mask removes.
GRAY = 127


def mask_picture(mask: NDArray[np.uint8], image: NDArray[np.uint8]) -> Picture:
    """Make the cell of a mask, with how much it covers below it."""
    return Picture(stretch_mask(mask, image.shape), f"covers {mask.mean() / 255:.0%}")


def foreground(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fade an image (H, W, 3) out to gray where its mask (S, S) calls it background."""
    alpha = stretch_mask(mask, image.shape)[:, :, None] / 255.0
    return np.rint(image * alpha + GRAY * (1.0 - alpha)).astype(np.uint8)


def choose_images(names: Sequence[str], *, count: int, seed: int) -> list[str]:
    """Draw some of a store's images to show."""
    chosen = np.random.default_rng(seed).permutation(len(names))[:count]
    return [names[index] for index in sorted(chosen.tolist())]


def mask_sheet(store: MaskStore, images: ImageSource, chosen: Sequence[str]) -> Image.Image:
    """Draw a contact sheet of a store: two images a row, each as image, mask, foreground."""
    captions = short_names(chosen)
    triples = [_triple(store, images, name, captions[name]) for name in chosen]
    pairs = [triples[i : i + 2] for i in range(0, len(triples), 2)]
    return sheet([[picture for triple in pair for picture in triple] for pair in pairs])


def _triple(store: MaskStore, images: ImageSource, name: str, caption: str) -> list[Picture]:
    """Make the three cells of one image."""
    mask = store[name]
    try:
        image = images.decode(name)
    except ImageError as error:
        return [Picture(BLANK, caption), Picture(BLANK, str(error)), Picture(BLANK)]
    return [
        Picture(image, caption),
        mask_picture(mask, image),
        Picture(foreground(image, mask)),
    ]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Stores of masks, and the images of which all have one."""

    #: In the order given; of any sizes.
    stores: tuple[MaskStore, ...]
    #: The images that all have, by path: in the stores' order if that is one, else sorted.
    names: Names
    #: How many images only some of the stores have.
    skipped: int

    @classmethod
    def open(cls, folders: Sequence[Path]) -> Self:
        """Open stores, and match their images by path, as images.txt names them."""
        for folder in folders:
            if (kind := Plan.load(folder).kind) != "masks":
                raise StoreError(
                    f"{folder} must be a store of masks to be compared, got kind "
                    f"{kind!r}: preview it alone"
                )
        stores = tuple(MaskStore(folder) for folder in folders)
        names = stores[0].names
        if all(store.names == names for store in stores):
            return cls(stores, names, 0)
        shared, all_names = set(names), set(names)
        for number, store in enumerate(stores[1:], start=1):
            shared &= (own_names := set(store.names))
            all_names |= own_names
            if not shared:
                others = " and ".join(map(str, folders[:number]))
                raise StoreError(
                    f"{folders[number]} must have masks of images of {others}, got none by the "
                    f"same path: it has {escaped(store.names[0])}, not {escaped(names[0])}: "
                    "make the masks of one folder of images"
                )
        return cls(stores, Names(sorted(shared)), len(all_names) - len(shared))

    def titles(self) -> list[str]:
        """Name each store by what made its masks, and its folder where those are alike."""
        titles = [_title(store) for store in self.stores]
        counts = Counter(titles)
        ambiguous = {
            store.folder
            for store, title in zip(self.stores, titles, strict=True)
            if counts[title] > 1
        }
        depth = 1
        while len({_path_tail(folder, depth) for folder in ambiguous}) < len(ambiguous):
            depth += 1
        return [
            f"{title}\n{escaped(_path_tail(store.folder, depth))}" if counts[title] > 1 else title
            for store, title in zip(self.stores, titles, strict=True)
        ]

    def sheet(self, images: ImageSource, chosen: Sequence[str]) -> Image.Image:
        """Draw a row an image: the image, then its mask in each store, or why there is none."""
        reasons = [_failure_reasons(store, chosen) for store in self.stores]
        captions = short_names(chosen)
        rows = [
            self._row(images, name, captions[name], [failed.get(name) for failed in reasons])
            for name in chosen
        ]
        return sheet(rows, column_titles=["image", *self.titles()], shrink_rows=True)

    def _row(
        self, images: ImageSource, name: str, caption: str, reasons: list[str | None]
    ) -> list[Picture]:
        """Make the cells of one image."""
        failures = [None if reason is None else Picture(text_cell(reason)) for reason in reasons]
        try:
            # As the sheet will scale it: a thousand whole photographs would fill the memory.
            image = np.asarray(fit(images.decode(name)))
        except ImageError as error:
            blanks = [cell or Picture(text_cell("")) for cell in failures]
            return [Picture(text_cell(str(error)), caption), *blanks]
        pairs = zip(self.stores, failures, strict=True)
        return [
            Picture(image, caption),
            *(cell or mask_picture(store[name], image) for store, cell in pairs),
        ]


def _title(store: MaskStore) -> str:
    """Name what made a store's masks."""
    method, refinement = store.plan.method, store.plan.parameters.get("refine")
    if method == IMPORTED:
        return escaped(store.folder.name)
    return f"{method} + {refinement['method']}" if refinement else method


def _path_tail(folder: Path, depth: int) -> str:
    """Return the last parts of a path."""
    return "/".join(folder.parts[-depth:])


def _failure_reasons(store: MaskStore, names: Sequence[str]) -> dict[str, str]:
    """Return which of some images failed, and why."""
    positions = np.array([store.position(name) for name in names], np.int64)
    states, errors = store.values(positions, "status", "error")
    return {
        name: error.decode()
        for name, state, error in zip(names, states, errors, strict=True)
        if state == FAILED
    }
