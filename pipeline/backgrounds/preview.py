"""Show a store of backgrounds: sheets of its crops, and of where in their images they lie."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dilo.pipeline.backgrounds.cropping import tile
from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images.names import short_names
from dilo.pipeline.images.sheets import BLANK, CELL, WHITE, Picture, fit, sheet
from dilo.pipeline.images.source import ImageSource
from dilo.pipeline.store.backgroundrows import Box

#: Cells in a row of either sheet.
COLUMNS = 6
#: Lines round the window that is shown beside its image, and round the image's others.
WINDOW_LINE, OTHER_LINE = (255, 225, 0), (255, 255, 255)
#: What lies on both sides of such a line, so that it is seen on light ground as on dark.
LINE_EDGE = (0, 0, 0)
#: Line round a background, which may be as white as the paper.
FRAME = (190, 190, 190)


def crop_sheet(store: BackgroundStore, *, count: int, seed: int) -> Image.Image:
    """Draw a contact sheet of backgrounds."""
    indices = sorted(np.random.default_rng(seed).permutation(len(store))[:count].tolist())
    captions = short_names(map(store.source, indices))
    return _lay_out([_crop_cell(store, index, captions[store.source(index)]) for index in indices])


def window_sheet(
    store: BackgroundStore, images: ImageSource, *, count: int, seed: int
) -> Image.Image:
    """Draw a contact sheet of where backgrounds lie in their images.

    Each image is whole, its windows outlined, beside the one in yellow; a texture is repeated,
    paler, as far as its windows reach. An image that cannot be read is a blank with the reason.
    """
    siblings = dict(islice(_draw_distinct_images(store, seed), count))
    captions = short_names(map(store.source, siblings))
    pairs = [
        _image_cells(store, images, index, siblings[index], captions[store.source(index)])
        for index in sorted(siblings)
    ]
    return _lay_out([picture for pair in pairs for picture in pair])


def _draw_distinct_images(store: BackgroundStore, seed: int) -> Iterator[tuple[int, range]]:
    """Draw backgrounds, no two of one image; with each come all of its image."""
    drawn = set()
    for index in np.random.default_rng(seed).permutation(len(store)).tolist():
        source, first, last = store.source(index), index, index
        while first > 0 and store.source(first - 1) == source:
            first -= 1
        while last + 1 < len(store) and store.source(last + 1) == source:
            last += 1
        if first not in drawn:
            drawn.add(first)
            yield index, range(first, last + 1)


def _image_cells(
    store: BackgroundStore, images: ImageSource, index: int, siblings: range, caption: str
) -> list[Picture]:
    """Make the two cells of an image: itself with its windows, and the background shown."""
    try:
        image = images.decode(store.source(index))
    except ImageError as error:
        return [Picture(BLANK, str(error)), _crop_cell(store, index, caption)]
    others = [store.box(i) for i in siblings if i != index]
    return [
        Picture(_outline_windows(image, others, store.box(index)), caption),
        _crop_cell(store, index),
    ]


def _crop_cell(store: BackgroundStore, index: int, name: str = "") -> Picture:
    """Make the cell of a background, with its size in its image and perhaps a name below."""
    _, _, height, width = store.box(index)
    picture = fit(store[index])
    right, bottom = picture.width - 1, picture.height - 1
    ImageDraw.Draw(picture).rectangle((0, 0, right, bottom), outline=FRAME)
    return Picture(np.asarray(picture), f"{width} x {height}  {name}".rstrip())


def _outline_windows(
    image: NDArray[np.uint8], other_windows: list[Box], window: Box
) -> NDArray[np.uint8]:
    """Outline windows in an image, which goes on beyond its edges where they do."""
    boxes = [*other_windows, window]
    height = max(image.shape[0], *(top + height for top, _, height, _ in boxes))
    width = max(image.shape[1], *(left + width for _, left, _, width in boxes))
    canvas = tile(image, (0, 0, height, width))
    for repeated in (canvas[image.shape[0] :], canvas[: image.shape[0], image.shape[1] :]):
        repeated[:] = repeated // 2 + WHITE[0] // 2
    # As the sheet will scale it, so that lines are as thick in all cells.
    picture, scale = fit(canvas), CELL / max(height, width)
    draw = ImageDraw.Draw(picture)
    for box in boxes:
        left, top, right, bottom = _corners(box, scale)
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=LINE_EDGE, width=4)
        colour = WINDOW_LINE if box is window else OTHER_LINE
        draw.rectangle((left, top, right, bottom), outline=colour, width=2)
    return np.asarray(picture)


def _corners(box: Box, scale: float) -> tuple[int, int, int, int]:
    """Return the first and the last pixel of a box after scaling: left, top, right, bottom."""
    top, left, height, width = box
    first = round(left * scale), round(top * scale)
    last = round((left + width) * scale) - 1, round((top + height) * scale) - 1
    return *first, max(first[0], last[0]), max(first[1], last[1])


def _lay_out(cells: list[Picture]) -> Image.Image:
    """Lay cells out, as many in a row as it takes."""
    cells = cells or [Picture(BLANK, "no backgrounds")]
    return sheet([cells[i : i + COLUMNS] for i in range(0, len(cells), COLUMNS)])
