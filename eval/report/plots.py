"""Plots of the page: lines over a number, and dots by a name; each run has a look of its own."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilo.pipeline.common.files import atomic_write
from dilo.train.monitor.plot import COLOURS, STYLES

if TYPE_CHECKING:  # an extra: who wants no plots needs none of it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Against seven colours: 35 runs before two look alike.
MARKERS = ("o", "s", "^", "D", "v")
LONGEST = 32
#: Widths of lines: the first run's is the widest, such that it is seen below one that is equal.
WIDEST, NARROWEST = 3.2, 1.4


@dataclass(frozen=True)
class Line:
    """Numbers of a run over another number."""

    #: Of the run.
    name: str
    across: Sequence[float]
    up: Sequence[float]
    #: An interval for each.
    ends: Sequence[tuple[float, float]] | None = None


def lines_plot(
    lines: Sequence[Line], path: Path, *, across: str, up: str, log: bool = False
) -> None:
    """Draw a line a run; a logarithmic axis has a tick at each place."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _blank(3.6)
    for place, line in enumerate(lines):
        look = _look(place, len(lines))
        if len(line.across) > 30:
            look["markersize"] = 0
        axes.plot(line.across, line.up, **look)
        if line.ends:
            low, high = zip(*line.ends, strict=True)
            axes.fill_between(line.across, low, high, color=look["color"], alpha=0.12, linewidth=0)
    if log:
        places = sorted({place for line in lines for place in line.across})
        axes.set_xscale("log")
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    _finish(figure, [line.name for line in lines], path)


def dots_plot(
    values: Mapping[str, Mapping[str, float]], path: Path, *, across: str, labels: Sequence[str]
) -> None:
    """Draw a row a label, the first above, and in it a dot a run; what is missing has no dot.

    `values` has for each run numbers by label.
    """
    figure, axes = _blank(1.2 + (0.24 + 0.05 * min(len(values), 6)) * len(labels))
    for place, numbers in enumerate(values.values()):
        rows = [row for row, label in enumerate(labels) if label in numbers]
        # In a lane of its own, lest equal numbers hide each other.
        lane = 0.6 * ((place + 0.5) / len(values) - 0.5)
        axes.plot(
            [numbers[labels[row]] for row in rows],
            [row + lane for row in rows],
            **_look(place, len(values)) | {"linestyle": "", "markersize": 6},
            clip_on=False,
        )
    axes.set_yticks(range(len(labels)), [_short(label) for label in labels])
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel(across)
    _finish(figure, list(values), path)


def _blank(height: float) -> "tuple[Figure, Axes]":
    """Make axes with a grid, without pyplot, which would look for a screen."""
    from matplotlib.figure import Figure

    # So wide that letters can be read on a telephone, so fine that they are sharp on a desk.
    figure = Figure(figsize=(5.2, height), dpi=200, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _finish(figure: "Figure", names: Sequence[str], path: Path) -> None:
    """Name the runs above the axes, and write the file."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **_look(place, len(names))) for place in range(len(names))]
    columns = max(1, min(len(names), int(60 // (8 + max(len(_short(name)) for name in names)))))
    legend = figure.legend(
        handles,
        [""] * len(names),  # matplotlib would leave out a name that begins with "_"
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        handlelength=3,
    )
    rows = -(-len(names) // columns)
    figure.set_figheight(figure.get_figheight() + 0.23 * rows)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)  # "$" in a name is a dollar
        text.set_text(_short(name))
    with warnings.catch_warnings(), atomic_write(path) as part:
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks is a box
        figure.savefig(part, format="png")


def _look(place: int, count: int) -> dict[str, Any]:
    """Return how a run of several is drawn: colour, line, width, marker."""
    share = (count - 1 - place) / max(count - 1, 1)
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": STYLES[place % len(STYLES)],
        "linewidth": NARROWEST + (WIDEST - NARROWEST) * share if count > 1 else 1.8,
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 4 + 4 * share if count > 1 else 5,
    }


def _short(name: str) -> str:
    """Cut a name to what a legend has room for."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
