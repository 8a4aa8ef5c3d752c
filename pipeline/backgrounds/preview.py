"""Show a store of backgrounds: sheets of its crops, and of where in their images they lie."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dilo.pipeline.backgrounds.cropping import tiled
from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images.decoding import decode
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.sheets import BLANK, CELL, WHITE, Picture, fit, sheet
from dilo.pipeline.store.backgroundrows import Box

#: Cells in a row of either sheet.
ACROSS = 6
#: Lines round the window that is shown beside its image, and round the image's others.
SHOWN, OTHER = (255, 225, 0), (255, 255, 255)
#: What lies on both sides of such a line, so that it is seen on light ground as on dark.
EDGE = (0, 0, 0)
#: Line round a background, which may be as white as the paper.
FRAME = (190, 190, 190)


def crop_sheet(store: BackgroundStore, *, count: int, seed: int) -> Image.Image:
    """Draw a contact sheet of backgrounds."""
    chosen = np.random.default_rng(seed).permutation(len(store))[:count].tolist()
    return _rows([_crop(store, index, _name(store, index)) for index in sorted(chosen)])


def window_sheet(store: BackgroundStore, images: Path, *, count: int, seed: int) -> Image.Image:
    """Draw a contact sheet of where backgrounds lie in their images."""
    chosen = dict(islice(_of_different_images(store, seed), count))
    pairs = [_pair(store, images, index, chosen[index]) for index in sorted(chosen)]
    return _rows([picture for pair in pairs for picture in pair])


def _of_different_images(store: BackgroundStore, seed: int) -> Iterator[tuple[int, range]]:
    """Draw backgrounds, no two of one image; with each come all of its image."""
    seen = set()
    for index in np.random.default_rng(seed).permutation(len(store)).tolist():
        source, first, last = store.source(index), index, index
        while first > 0 and store.source(first - 1) == source:
            first -= 1
        while last + 1 < len(store) and store.source(last + 1) == source:
            last += 1
        if first not in seen:
            seen.add(first)
            yield index, range(first, last + 1)


def _pair(store: BackgroundStore, images: Path, index: int, together: range) -> list[Picture]:
    """Make the two cells of an image: itself with its windows, and the background shown."""
    name = _name(store, index)
    try:
        image = decode(images / store.source(index))
    except ImageError as error:
        return [Picture(BLANK, str(error)), _crop(store, index, name)]
    others = [store.box(i) for i in together if i != index]
    return [Picture(_outlined(image, others, store.box(index)), name), _crop(store, index)]


def _crop(store: BackgroundStore, index: int, name: str = "") -> Picture:
    """Make the cell of a background, with its size in its image and perhaps a name below."""
    _, _, height, width = store.box(index)
    picture = fit(store[index])
    right, bottom = picture.width - 1, picture.height - 1
    ImageDraw.Draw(picture).rectangle((0, 0, right, bottom), outline=FRAME)
    return Picture(np.asarray(picture), f"{width} x {height}  {name}".rstrip())


def _outlined(image: NDArray[np.uint8], others: list[Box], shown: Box) -> NDArray[np.uint8]:
    """Outline windows in an image, which goes on beyond its edges where they do."""
    boxes = [*others, shown]
    height = max(image.shape[0], *(top + height for top, _, height, _ in boxes))
    width = max(image.shape[1], *(left + width for _, left, _, width in boxes))
    canvas = tiled(image, (0, 0, height, width))
    for repeated in (canvas[image.shape[0] :], canvas[: image.shape[0], image.shape[1] :]):
        repeated[:] = repeated // 2 + WHITE[0] // 2
    # As the sheet will scale it, so that lines are as thick in all cells.
    picture, scale = fit(canvas), CELL / max(height, width)
    draw = ImageDraw.Draw(picture)
    for box in boxes:
        left, top, right, bottom = _corners(box, scale)
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=EDGE, width=4)
        colour = SHOWN if box is shown else OTHER
        draw.rectangle((left, top, right, bottom), outline=colour, width=2)
    return np.asarray(picture)


def _corners(box: Box, scale: float) -> tuple[int, int, int, int]:
    """Give the first and the last pixel of a box after scaling: left, top, right, bottom."""
    top, left, height, width = box
    first = round(left * scale), round(top * scale)
    last = round((left + width) * scale) - 1, round((top + height) * scale) - 1
    return *first, max(first[0], last[0]), max(first[1], last[1])


def _rows(cells: list[Picture]) -> Image.Image:
    """Lay cells out, as many in a row as it takes."""
    cells = cells or [Picture(BLANK, "no backgrounds")]
    return sheet([cells[i : i + ACROSS] for i in range(0, len(cells), ACROSS)])


def _name(store: BackgroundStore, index: int) -> str:
    """Give the name of an image's file alone."""
    return escaped(store.source(index)).rsplit("/", 1)[-1]
