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
    column_titles: Sequence[str] = (),
    shrink_rows: bool = False,
) -> Image.Image:
    """Lay pictures out in rows."""
    columns = max(len(row) for row in rows)
    caption_height = (
        _max_lines([picture.caption for row in rows for picture in row]) * CAPTION + GAP
    )
    header_height = _max_lines(column_titles) * CAPTION + GAP if column_titles else 0
    images = [[fit(picture.pixels, cell) for picture in row] for row in rows]
    heights = [max(image.height for image in row) if shrink_rows else cell for row in images]
    step = cell + GAP
    total_height = header_height + sum(height + caption_height for height in heights)
    canvas = Image.new("RGB", (columns * step + GAP, total_height + GAP), WHITE)
    draw = ImageDraw.Draw(canvas)
    for c, title in enumerate(column_titles):
        _write(draw, (GAP + c * step, GAP), title, cell, LARGE)
    top = GAP + header_height
    for row, row_images, height in zip(rows, images, heights, strict=True):
        for c, (picture, image) in enumerate(zip(row, row_images, strict=True)):
            left = GAP + c * step
            middle = (left + (cell - image.width) // 2, top + (height - image.height) // 2)
            canvas.paste(image, middle)
            _write(draw, (left, top + height), picture.caption, cell, SMALL)
        top += height + caption_height
    return canvas


def text_cell(text: str, *, cell: int = CELL) -> NDArray[np.uint8]:
    """Stand for a picture that is not there, and say why."""
    width = cell - 2 * GAP
    lines = wrap(text, width, SMALL)[: width // CAPTION]
    height = max(1, len(lines)) * CAPTION + 2 * GAP
    canvas = Image.fromarray(np.broadcast_to(BLANK, (height, cell)).copy()).convert("RGB")
    _write(ImageDraw.Draw(canvas), (GAP, GAP), "\n".join(lines), width, SMALL)
    return np.asarray(canvas)


def _max_lines(texts: Sequence[str]) -> int:
    """Count the lines that the longest of some words have."""
    return 1 + max((text.count("\n") for text in texts), default=0)


def _write(
    draw: ImageDraw.ImageDraw, position: tuple[int, int], text: str, width: int, size: int
) -> None:
    """Write words, line by line, each cut to a width."""
    for n, line in enumerate(text.split("\n")):
        line_position = (position[0], position[1] + n * CAPTION)
        draw.text(line_position, truncate(line, width, size), fill=TEXT, font=font(size))


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


def _text_width(text: str, size: int) -> float:
    """Measure words in pixels."""
    return font(size).getlength(text)


def truncate(text: str, width: int, size: int) -> str:
    """Cut words to a width, and show that they were cut."""
    if _text_width(text, size) <= width:
        return text
    while text and _text_width(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def wrap(text: str, width: int, size: int = 12) -> list[str]:
    """Break words into lines."""
    lines: list[str] = []
    for part in text.splitlines():
        line = ""
        for word in part.split():
            longer = f"{line} {word}".lstrip()
            if line and _text_width(longer, size) > width:
                lines.append(truncate(line, width, size))
                longer = word
            line = longer
        lines.append(truncate(line, width, size))
    return lines
