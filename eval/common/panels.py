"""Figures of pictures: blocks side by side, each with a title, rows and words below pictures."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dilo.pipeline.images.sheets import TEXT, WHITE, fit, font, truncate, wrap

#: Side of a picture, width of its frame and distance to the next, in pixels.
CELL, FRAME, GAP = 136, 4, 8


#: Distance of blocks, and of everything from the figure's edge.
APART, MARGIN = 28, 16


#: Height of a line of words: below a picture, and of a title.
LINE, TITLE_LINE = 16, 22


FAINT = (200, 200, 200)


#: Okabe and Ito's bluish green and vermilion, which the colour-blind tell apart.
YES, NO = (0, 158, 115), (213, 94, 0)


_MARK = 26


Canvas = ImageDraw.ImageDraw


@dataclass(frozen=True)
class Panel:
    """A picture of a figure.

    Attributes
    ----------
    pixels : ndarray of shape (H, W, 3) or (H, W), uint8
        Shown whole, its sides in proportion.
    lines : tuple of str, default ()
        Up to two lines below it, each cut to its width.
    mark : bool or None, default None
        Frame it in green, with a tick, or in red, with a cross; None does neither.
    """

    pixels: NDArray[np.uint8]
    lines: tuple[str, ...] = ()
    mark: bool | None = None


@dataclass(frozen=True)
class Block:
    """Panels below a title.

    Attributes
    ----------
    title : str
        What the block shows, cut to its width.
    note : str
        What is to be said of all of it, broken into lines.
    rows : sequence of sequence of Panel
        As many panels in each row.
    heads : sequence of str
        A line above each row, or none at all.
    """

    title: str
    note: str
    rows: Sequence[Sequence[Panel]]
    heads: Sequence[str] = ()

    @property
    def width(self) -> int:
        """Measure the block.

        Returns
        -------
        int
            Pixels across.
        """
        return len(self.rows[0]) * (CELL + 2 * FRAME + GAP) - GAP


def panel_figure(blocks: Sequence[Block]) -> Image.Image:
    """Lay blocks side by side, their rows in line.

    Parameters
    ----------
    blocks : sequence of Block
        With as many rows each.

    Returns
    -------
    Image
        RGB, on white.
    """
    notes = [wrap(block.note, block.width) for block in blocks]
    header = TITLE_LINE + LINE * max(map(len, notes)) + GAP
    headed = LINE if any(block.heads for block in blocks) else 0
    row_height = headed + CELL + 2 * FRAME + 2 * LINE + GAP + GAP // 2
    count = len(blocks[0].rows)
    size = (
        2 * MARGIN + sum(block.width for block in blocks) + APART * (len(blocks) - 1),
        2 * MARGIN + header + count * row_height - GAP,
    )
    canvas = Image.new("RGB", size, WHITE)
    draw, left = ImageDraw.Draw(canvas), MARGIN
    for block, lines in zip(blocks, notes, strict=True):
        draw.text((left, MARGIN), truncate(block.title, block.width, 15), fill=TEXT, font=font(15))
        for i, line in enumerate(lines):
            draw.text((left, MARGIN + TITLE_LINE + i * LINE), line, fill=TEXT, font=font(12))
        rule = MARGIN + header - GAP // 2
        draw.line((left, rule, left + block.width, rule), fill=FAINT)
        for r, row in enumerate(block.rows):
            top = MARGIN + header + r * row_height
            if block.heads:
                head = truncate(block.heads[r], block.width, 12)
                draw.text((left, top), head, fill=TEXT, font=font(12))
            for c, panel in enumerate(row):
                _place(canvas, panel, left + c * (CELL + 2 * FRAME + GAP), top + headed)
        left += block.width + APART
    return canvas


def _place(canvas: Image.Image, panel: Panel, left: int, top: int) -> None:
    """Draw a panel with its frame, mark and lines."""
    draw, outer = ImageDraw.Draw(canvas), CELL + 2 * FRAME
    image = fit(panel.pixels, CELL)
    x = left + FRAME + (CELL - image.width) // 2
    y = top + FRAME + (CELL - image.height) // 2
    if panel.mark is not None:
        colour = YES if panel.mark else NO
        frame = (x - FRAME, y - FRAME, x + image.width + FRAME - 1, y + image.height + FRAME - 1)
        draw.rectangle(frame, fill=colour)
    canvas.paste(image, (x, y))
    if panel.mark is not None:
        mark = _mark(panel.mark)
        canvas.paste(mark, (x + image.width - _MARK, y), mark)
    for i, line in enumerate(panel.lines[:2]):
        place = (left + FRAME, top + outer + i * LINE)
        draw.text(place, truncate(line, CELL, 12), fill=TEXT, font=font(12))


@functools.cache
def _mark(yes: bool) -> Image.Image:
    """Draw a tick or a cross on a disc, larger than needed, so that shrinking makes it smooth."""
    side = 4 * _MARK
    mark = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(mark)
    draw.ellipse((8, 8, side - 9, side - 9), fill=YES if yes else NO, outline=WHITE, width=6)
    strokes = (
        [[(30, 54), (46, 70), (74, 36)]] if yes else [[(36, 36), (68, 68)], [(68, 36), (36, 68)]]
    )
    for stroke in strokes:
        draw.line(stroke, fill=WHITE, width=11, joint="curve")
    return mark.resize((_MARK, _MARK), Image.Resampling.LANCZOS)
