"""Contact sheets: rows of pictures with a word under each, as one image to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dilo.pipeline.lettering import cut, font, wrapped

CELL = 160
CAPTION = 16
GAP = 4
#: Sizes of the letters, in pixels: of captions, and of what heads a column.
SMALL, LARGE = 11, 13
PAPER = (255, 255, 255)
INK = (40, 40, 40)
#: Stands for a picture that is not there.
BLANK: NDArray[np.uint8] = np.full((1, 1), 230, np.uint8)


@dataclass(frozen=True)
class Picture:
    """One cell of a sheet.

    Attributes
    ----------
    pixels : ndarray of shape (H, W, 3) or (H, W), uint8
        Colour or gray; shown whole, its sides in proportion.
    caption : str, default ""
        A few words below it; each of its lines is cut to the cell's width.
    """

    pixels: NDArray[np.uint8]
    caption: str = ""


def sheet(
    rows: Sequence[Sequence[Picture]], *, cell: int = CELL, heads: Sequence[str] = ()
) -> Image.Image:
    """Lay pictures out in rows.

    Parameters
    ----------
    rows : sequence of sequence of Picture
        Rows may differ in length.
    cell : int, default 160
        Side of a cell, in pixels.
    heads : sequence of str, default ()
        Words above each column, from the first on; each of their lines is cut to the cell's
        width.

    Returns
    -------
    Image
        RGB, on white.
    """
    across = max(len(row) for row in rows)
    lines = _most_lines([picture.caption for row in rows for picture in row])
    head = _most_lines(heads) * CAPTION + GAP if heads else 0
    step_x, step_y = cell + GAP, cell + lines * CAPTION + GAP
    canvas = Image.new("RGB", (across * step_x + GAP, head + len(rows) * step_y + GAP), PAPER)
    draw = ImageDraw.Draw(canvas)
    for c, words in enumerate(heads):
        _write(draw, (GAP + c * step_x, GAP), words, cell, LARGE)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            left, top = GAP + c * step_x, GAP + head + r * step_y
            image = fitted(picture.pixels, cell)
            middle = (left + (cell - image.width) // 2, top + (cell - image.height) // 2)
            canvas.paste(image, middle)
            _write(draw, (left, top + cell), picture.caption, cell, SMALL)
    return canvas


def notice(words: str, *, cell: int = CELL) -> NDArray[np.uint8]:
    """Stand for a picture that is not there, and say why.

    Parameters
    ----------
    words : str
        The reason, broken into as many lines as there is room for.
    cell : int, default 160
        Side of the cell, in pixels.

    Returns
    -------
    ndarray of shape (cell, cell, 3), uint8
        The words on gray.
    """
    canvas = fitted(BLANK, cell)
    lines = wrapped(words, cell - 2 * GAP, SMALL)[: (cell - 2 * GAP) // CAPTION]
    _write(ImageDraw.Draw(canvas), (GAP, GAP), "\n".join(lines), cell - 2 * GAP, SMALL)
    return np.asarray(canvas)


def _most_lines(texts: Sequence[str]) -> int:
    """Count the lines that the longest of some words have."""
    return 1 + max((text.count("\n") for text in texts), default=0)


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int, size: int
) -> None:
    """Write words, line by line, each cut to a width."""
    for n, words in enumerate(text.split("\n")):
        line = (place[0], place[1] + n * CAPTION)
        draw.text(line, cut(words, width, size), fill=INK, font=font(size))


def fitted(pixels: NDArray[np.uint8], cell: int = CELL) -> Image.Image:
    """Scale a picture to touch a cell's sides from inside.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, 3) or (H, W), uint8
        Colour or gray.
    cell : int, default 160
        Side of the cell, in pixels.

    Returns
    -------
    Image
        RGB.
    """
    image = Image.fromarray(pixels).convert("RGB")
    scale = cell / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    return image.resize((size[0], size[1]), Image.Resampling.BILINEAR)
