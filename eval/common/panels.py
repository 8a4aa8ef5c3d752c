"""Figures of pictures: blocks side by side, each with a title, rows and words below pictures."""

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.files import atomic_write
from dilo.pipeline.common.printing import printable

if TYPE_CHECKING:  # an extra: who draws nothing needs none of it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Units of a figure to an inch; of a PNG, pixels to a unit.
UNITS, SCALE = 100, 1.5
#: Side of a picture, width of its frame and distance to the next, in units.
CELL, FRAME, GAP = 136, 4, 8
#: Side of a picture in pixels, for print too.
PIXELS = 2 * CELL
#: Distance of blocks, and of everything from the figure's edge.
APART, MARGIN = 28, 16
#: Height of a line of words: below a picture, and of a title.
LINE, TITLE_LINE = 16, 22
#: Sizes of letters, in units.
SMALL, LARGE = 11, 14
TEXT, FAINT = "#282828", "#c8c8c8"
#: Okabe and Ito's bluish green and vermilion, which the colour-blind tell apart.
YES, NO = "#009e73", "#d55e00"
#: Side of the disc that has a tick or a cross, and these two in a disc of side 1.
MARK = 24
TICK = ([0.27, 0.43, 0.72], [0.53, 0.69, 0.34])
CROSS = ([0.34, 0.66, np.nan, 0.66, 0.34], [0.34, 0.66, np.nan, 0.34, 0.66])


@dataclass(frozen=True)
class Panel:
    """A picture of a figure."""

    #: Shown whole, its sides in proportion; of shape (H, W, 3), uint8.
    pixels: NDArray[np.uint8]
    #: Up to two lines below it, each cut to its width.
    lines: tuple[str, ...] = ()
    #: Frame it in green, with a tick, or in red, with a cross; None does neither.
    mark: bool | None = None


@dataclass(frozen=True)
class Block:
    """Panels below a title."""

    #: What the block shows, cut to its width.
    title: str
    #: What is to be said of all of it, broken into lines.
    note: str
    #: As many panels in each row.
    rows: Sequence[Sequence[Panel]]
    #: A line above each row, or none at all.
    heads: Sequence[str] = ()

    @property
    def width(self) -> int:
        """Measure the block."""
        return len(self.rows[0]) * (CELL + 2 * FRAME + GAP) - GAP


def panel_figure(blocks: Sequence[Block]) -> "Figure":
    """Lay blocks side by side, their rows in line."""
    from matplotlib.figure import Figure

    notes = [_wrapped(block.note, block.width) for block in blocks]
    header = TITLE_LINE + LINE * max(map(len, notes)) + GAP
    headed = LINE if any(block.heads for block in blocks) else 0
    row_height = headed + CELL + 2 * FRAME + 2 * LINE + GAP + GAP // 2
    width = 2 * MARGIN + sum(block.width for block in blocks) + APART * (len(blocks) - 1)
    height = 2 * MARGIN + header + len(blocks[0].rows) * row_height - GAP
    figure = Figure(figsize=(width / UNITS, height / UNITS), dpi=UNITS * SCALE)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    left = MARGIN
    for block, lines in zip(blocks, notes, strict=True):
        _write(axes, left, MARGIN, _cut(block.title, block.width, LARGE), LARGE)
        for i, line in enumerate(lines):
            _write(axes, left, MARGIN + TITLE_LINE + i * LINE, line, SMALL)
        rule = MARGIN + header - GAP // 2
        axes.plot([left, left + block.width], [rule, rule], color=FAINT, linewidth=0.8)
        for r, row in enumerate(block.rows):
            top = MARGIN + header + r * row_height
            if block.heads:
                _write(axes, left, top, _cut(block.heads[r], block.width, SMALL), SMALL)
            for c, panel in enumerate(row):
                _place(axes, panel, left + c * (CELL + 2 * FRAME + GAP), top + headed)
        left += block.width + APART
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


def write_figure(figure: "Figure", path: Path) -> None:
    """Write a figure, whole or not at all, as PNG or, where the path ends so, as PDF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks is a box
        figure.savefig(part, format=path.suffix.lower().lstrip(".") or "png")


def _place(axes: "Axes", panel: Panel, left: float, top: float) -> None:
    """Draw a panel with its frame, mark and lines."""
    from matplotlib.patches import Circle, Rectangle

    height, width = panel.pixels.shape[:2]
    scale = CELL / max(height, width)
    across, down = width * scale, height * scale
    x, y = left + FRAME + (CELL - across) / 2, top + FRAME + (CELL - down) / 2
    colour = YES if panel.mark else NO
    if panel.mark is not None:
        corner, sides = (x - FRAME, y - FRAME), (across + 2 * FRAME, down + 2 * FRAME)
        axes.add_patch(Rectangle(corner, *sides, color=colour, linewidth=0))
    place = (x, x + across, y + down, y)
    axes.imshow(panel.pixels, cmap="gray", vmin=0, vmax=255, extent=place, zorder=2)
    if panel.mark is not None:
        corner_x = x + across - MARK
        middle = (corner_x + MARK / 2, y + MARK / 2)
        axes.add_patch(Circle(middle, MARK / 2 - 1, facecolor=colour, edgecolor="white", zorder=3))
        stroke_x, stroke_y = TICK if panel.mark else CROSS
        stroke = corner_x + MARK * np.array(stroke_x), y + MARK * np.array(stroke_y)
        axes.plot(*stroke, color="white", linewidth=1.8, solid_capstyle="round", zorder=4)
    for i, line in enumerate(panel.lines[:2]):
        below = top + CELL + 2 * FRAME + i * LINE
        _write(axes, left + FRAME, below, _cut(line, CELL, SMALL), SMALL)


def _write(axes: "Axes", left: float, top: float, words: str, size: int) -> None:
    """Write a line of words; "$" in a name is a dollar."""
    axes.text(left, top, words, color=TEXT, fontsize=_points(size), va="top", parse_math=False)


def _points(size: int) -> float:
    """Turn units into the points that letters are measured in."""
    return size * 72 / UNITS


@functools.lru_cache(maxsize=4096)
def _width_of(words: str, size: int) -> float:
    """Measure words, in units."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(size=_points(size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        width, _, _ = TextToPath().get_text_width_height_descent(words, font, ismath=False)
    return float(width) * UNITS / 72


def _cut(words: str, width: float, size: int) -> str:
    """Cut words to a width, with an ellipsis."""
    words = printable(words)
    if _width_of(words, size) <= width:
        return words
    while words and _width_of(f"{words}…", size) > width:
        words = words[:-1]
    return f"{words}…"


def _wrapped(words: str, width: float) -> list[str]:
    """Break words into lines of a width."""
    lines: list[str] = []
    for paragraph in words.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and _width_of(longer, SMALL) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(_cut(line, width, SMALL))
    return lines
