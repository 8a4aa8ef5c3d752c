"""Contact sheets: rows of pictures with a word under each, as one image to look at."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CELL = 160
CAPTION = 16
GAP = 4
#: Sizes of the letters, in pixels: of captions, and of what heads a column.
SMALL, LARGE = 11, 13
WHITE = (255, 255, 255)
TEXT = (40, 40, 40)
#: Stands for a picture that is not there.
BLANK: NDArray[np.uint8] = np.full((1, 1), 230, np.uint8)


@dataclass(frozen=True)
class Picture:
    """One cell of a sheet."""

    #: Colour or gray; shown whole, its sides in proportion.
    pixels: NDArray[np.uint8]
    #: A few words below it; each of its lines is cut to the cell's width.
    caption: str = ""


def sheet(
    rows: Sequence[Sequence[Picture]],
    *,
    cell: int = CELL,
    heads: Sequence[str] = (),
    tight: bool = False,
) -> Image.Image:
    """Lay pictures out in rows."""
    across = max(len(row) for row in rows)
    under = _most_lines([picture.caption for row in rows for picture in row]) * CAPTION + GAP
    head = _most_lines(heads) * CAPTION + GAP if heads else 0
    images = [[fit(picture.pixels, cell) for picture in row] for row in rows]
    heights = [max(image.height for image in row) if tight else cell for row in images]
    step, whole = cell + GAP, head + sum(height + under for height in heights)
    canvas = Image.new("RGB", (across * step + GAP, whole + GAP), WHITE)
    draw = ImageDraw.Draw(canvas)
    for c, words in enumerate(heads):
        _write(draw, (GAP + c * step, GAP), words, cell, LARGE)
    top = GAP + head
    for row, shown, height in zip(rows, images, heights, strict=True):
        for c, (picture, image) in enumerate(zip(row, shown, strict=True)):
            left = GAP + c * step
            middle = (left + (cell - image.width) // 2, top + (height - image.height) // 2)
            canvas.paste(image, middle)
            _write(draw, (left, top + height), picture.caption, cell, SMALL)
        top += height + under
    return canvas


def text_cell(words: str, *, cell: int = CELL) -> NDArray[np.uint8]:
    """Stand for a picture that is not there, and say why."""
    room = cell - 2 * GAP
    lines = wrap(words, room, SMALL)[: room // CAPTION]
    height = max(1, len(lines)) * CAPTION + 2 * GAP
    canvas = Image.fromarray(np.broadcast_to(BLANK, (height, cell)).copy()).convert("RGB")
    _write(ImageDraw.Draw(canvas), (GAP, GAP), "\n".join(lines), room, SMALL)
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
        draw.text(line, truncate(words, width, size), fill=TEXT, font=font(size))


def fit(pixels: NDArray[np.uint8], cell: int = CELL) -> Image.Image:
    """Scale a picture to touch a cell's sides from inside."""
    image = Image.fromarray(pixels).convert("RGB")
    scale = cell / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    return image.resize((size[0], size[1]), Image.Resampling.BILINEAR)


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Load the font that Pillow brings."""
    return ImageFont.load_default(size=size)


def _long(text: str, size: int) -> float:
    """Measure words in pixels."""
    return font(size).getlength(text)


def truncate(text: str, width: int, size: int) -> str:
    """Cut words to a width, and show that they were cut."""
    if _long(text, size) <= width:
        return text
    while text and _long(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def wrap(text: str, width: int, size: int = 12) -> list[str]:
    """Break words into lines."""
    lines: list[str] = []
    for part in text.splitlines():
        line = ""
        for word in part.split():
            longer = f"{line} {word}".lstrip()
            if line and _long(longer, size) > width:
                lines.append(truncate(line, width, size))
                longer = word
            line = longer
        lines.append(truncate(line, width, size))
    return lines
