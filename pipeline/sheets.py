"""Contact sheets: rows of pictures with a word under each, as one image to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CELL = 160
CAPTION = 16
GAP = 4
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


def sheet(rows: Sequence[Sequence[Picture]], *, cell: int = CELL) -> Image.Image:
    """Lay pictures out in rows.

    Parameters
    ----------
    rows : sequence of sequence of Picture
        Rows may differ in length.
    cell : int, default 160
        Side of a cell, in pixels.

    Returns
    -------
    Image
        RGB, on white.
    """
    across = max(len(row) for row in rows)
    lines = 1 + max((picture.caption.count("\n") for row in rows for picture in row), default=0)
    step_x, step_y = cell + GAP, cell + lines * CAPTION + GAP
    canvas = Image.new("RGB", (across * step_x + GAP, len(rows) * step_y + GAP), PAPER)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=11)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            left, top = GAP + c * step_x, GAP + r * step_y
            image = fitted(picture.pixels, cell)
            canvas.paste(
                image, (left + (cell - image.width) // 2, top + (cell - image.height) // 2)
            )
            for n, words in enumerate(picture.caption.split("\n")):
                while words and draw.textlength(words, font=font) > cell:
                    words = words[:-1]
                draw.text((left, top + cell + n * CAPTION), words, fill=INK, font=font)
    return canvas


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
