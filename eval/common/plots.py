"""Plots of several curves that can be told apart."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # an extra: who wants no plots needs none of it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Okabe and Ito's colours, which the colour-blind tell apart, without their yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


#: Four styles against seven colours: 28 methods before two look alike.
STYLES = ("-", "--", "-.", ":")


LONGEST = 32


def empty_axes(across: str, up: str, lines: int) -> "tuple[Figure, Axes]":
    """Make axes with a grid, without pyplot, which would look for a screen."""
    from matplotlib.figure import Figure

    height = max(4.5, 0.8 + 0.23 * lines)  # inches
    figure = Figure(figsize=(7.5, height), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_ylim(0, 1)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_line(
    axes: "Axes", across: NDArray[np.generic], up: NDArray[np.float64], best: int, place: int
) -> None:
    """Draw a method's line and its dot; the axes' edge must not cut them.

    Parameters
    ----------
    axes : Axes
        What `empty_axes` made.
    across, up : ndarray of shape (T,)
        The line.
    best : int
        Where on it the dot lies.
    place : int
        Which line it is: its colour and style.
    """
    colour, style = COLOURS[place % len(COLOURS)], STYLES[place % len(STYLES)]
    axes.plot(across, up, color=colour, linestyle=style, linewidth=1.8, clip_on=False)
    axes.plot(across[best], up[best], "o", color=colour, markersize=5, clip_on=False)


def save_plot(figure: "Figure", named: Sequence[tuple[str, float]], title: str, path: Path) -> None:
    """Name the lines beside the axes, where no line can run below, and write the file."""
    lines = figure.axes[0].get_lines()[::2]
    legend = figure.legend(
        lines,
        [""] * len(lines),  # matplotlib would leave out a name that begins with "_"
        loc="outside right upper",
        frameon=False,
        handlelength=3,
        title=title,
        alignment="left",
    )
    for text, (name, number) in zip(legend.get_texts(), named, strict=True):
        text.set_parse_math(False)  # "$" in a name is a dollar
        short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        text.set_text(f"{number:.3f}  {short}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks is a box
        figure.savefig(path, format="png")
