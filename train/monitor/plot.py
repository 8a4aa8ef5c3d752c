"""Curves of runs: what they recorded, over their epochs, one colour a run."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.files import atomic_write
from dilo.pipeline.errors import DiloError
from dilo.train.monitor.metrics import METRICS, read_metrics
from dilo.train.monitor.run_info import read_run_info
from dilo.train.recipes.schema import flat

if TYPE_CHECKING:  # an extra: who wants no plots needs none of it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's colours, which the colour-blind tell apart, without their yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Solid, dashes, dots, both: against seven colours, 28 runs before two look alike. Through the gaps
#: of one line, an equal one below is seen.
STYLES: tuple[Any, ...] = ("-", (0, (4, 2.5)), (0, (1.5, 2)), (0, (5, 2, 1.5, 2)))
MARKERS = ("o", "s", "^", "D")
#: Widths of lines in points: of the first of several runs, and of the last, which lies on top.
WIDEST, NARROWEST = 3.4, 1.5
#: Of the values that a panel's axis must show, in per cent.
SHOWN = (1.0, 99.0)
#: The strong lines are means over this share of the longest run.
SMOOTHING = 1 / 25
#: Longest name, in letters, that a difference of recipes may make.
LONGEST = 60

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class _Panel:
    """What one panel shows of each line: the value under `key`, times `factor`."""

    key: str
    title: str
    factor: float = 1.0
    smooth: bool = True
    markers: bool = False
    from_zero: bool = True


PANELS = (
    _Panel("loss", "Loss", from_zero=False),
    _Panel("accuracy", "Accuracy of the contrastive task, %", 100),
    _Panel("knn_top1", "kNN top-1, %", smooth=False, markers=True, from_zero=False),
    _Panel("test_max_f", "Maximal F of masks", smooth=False, markers=True, from_zero=False),
    _Panel("test_mae", "Mean absolute error of masks", smooth=False, markers=True, from_zero=False),
    _Panel("lr", "Learning rate", smooth=False),
    _Panel("images_per_second", "Images a second"),
    _Panel("data_wait", "Time waiting for data, %", 100),
)


@dataclass(frozen=True)
class _Run:
    """The recorded lines of a run, and what its axes and name need."""

    folder: Path
    lines: list[dict[str, Any]]
    recipe: dict[str, str]
    steps_per_epoch: float | None

    @property
    def settled(self) -> float:
        """Step at which a queue of negatives is full: before, the loss is of fewer."""
        if self.recipe.get("method") != "moco":
            return 0.0
        try:
            return int(self.recipe["moco.queue"]) / int(self.recipe["optimizer.batch"])
        except (KeyError, ValueError, ZeroDivisionError):
            return 0.0

    def values(self, panel: _Panel) -> tuple[Numbers, Numbers]:
        """Return the steps of which a panel has a number, and these."""
        pairs = [
            (line["step"], panel.factor * line[panel.key])
            for line in self.lines
            if isinstance(line.get(panel.key), int | float)
        ]
        steps, numbers = np.array(pairs, float).reshape(-1, 2).T
        return steps, numbers


def plot_runs(
    runs: Sequence[Path],
    path: Path,
    names: Sequence[str] | None = None,
    *,
    narrow: bool = False,
) -> None:
    """Draw the curves of runs; named by what differs between their recipes, unless `names` says."""
    from matplotlib.ticker import MaxNLocator

    records = [_read(folder) for folder in runs]
    by_epoch = all(run.steps_per_epoch for run in records)
    panels = [panel for panel in PANELS if any(len(run.values(panel)[0]) for run in records)]
    figure, all_axes = _make_axes(len(panels), narrow=narrow)
    longest = max(
        _positions(run, max(line["step"] for line in run.lines), by_epoch) for run in records
    )
    for axes, panel in zip(all_axes, panels, strict=True):
        for index, run in enumerate(records):
            style = _style(index, len(records))
            _draw(axes, panel, run, style, by_epoch=by_epoch, width=longest * SMOOTHING)
        axes.set_title(panel.title, loc="left", fontsize=11)
        axes.set_xlabel("Epoch" if by_epoch else "Step")
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=longest >= 5))
        axes.margins(x=0.02)
        _set_limits(axes, panel, records)
    width = longest * SMOOTHING
    window = f"{width:.2g} epochs" if by_epoch else f"{width:.0f} steps"
    note = f"strong: mean over {window}; light: as recorded"
    names = names or run_names(runs, [run.recipe for run in records])
    _finish(figure, names, note, path)


def _read(folder: Path) -> _Run:
    """Read a run's record."""
    lines, facts = read_metrics(folder), read_run_info(folder)
    if not lines:
        raise DiloError(
            f"{folder} must be the folder of a run that has recorded something, but there is no "
            f"line in {folder / METRICS}: give what dilo-train was given as --out"
        )
    recipe = facts.get("recipe")
    try:
        per_epoch = facts["steps"] / facts["recipe"]["optimizer"]["epochs"]
    except (KeyError, TypeError, ZeroDivisionError):
        per_epoch = None
    return _Run(folder, lines, recipe_words(recipe) if isinstance(recipe, dict) else {}, per_epoch)


def recipe_words(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Format the values of a recipe as text under dotted keys.

    Examples
    --------
    >>> recipe_words({"seed": 0, "paste": {"probability": 0.30}})
    {'seed': '0', 'paste.probability': '0.3'}
    """
    return {
        key: f"{value:g}" if isinstance(value, float) else str(value)
        for key, value in flat(recipe).items()
    }


def run_names(runs: Sequence[Path], recipes: Sequence[Mapping[str, str]]) -> list[str]:
    """Name runs by what differs between their recipes, or, where that does not do, by folder.

    Examples
    --------
    >>> recipes = [{"seed": "0", "paste.probability": p} for p in ("0", "0.3")]
    >>> run_names([Path("runs/moco"), Path("runs/dilo")], recipes)
    ['paste.probability=0', 'paste.probability=0.3']
    """
    keys = list(dict.fromkeys(key for recipe in recipes for key in recipe))
    differ = [key for key in keys if len({recipe.get(key) for recipe in recipes}) > 1]
    names = [
        ", ".join(f"{key}={recipe[key]}" for key in differ if key in recipe) for recipe in recipes
    ]
    for candidates in (names, [run.resolve().name for run in runs]):
        if all(0 < len(name) <= LONGEST for name in candidates) and len(set(candidates)) == len(
            candidates
        ):
            return list(candidates)
    return [str(run) for run in runs]


def _positions(run: _Run, steps: Any, by_epoch: bool) -> Any:
    """Return the positions of steps, in epochs or steps."""
    return steps / (run.steps_per_epoch or 1.0) if by_epoch else steps


def _draw(
    axes: "Axes",
    panel: _Panel,
    run: _Run,
    style: dict[str, Any],
    *,
    by_epoch: bool,
    width: float,
) -> None:
    """Draw a run's line: as recorded, and, where it is noisy, its mean over it."""
    steps, heights = run.values(panel)
    across = _positions(run, steps, by_epoch)
    if panel.smooth:
        axes.plot(across, heights, color=style["color"], linewidth=0.8, alpha=0.3, zorder=1.5)
        heights = smoothed(across, heights, width)
    markers = {"marker": "", "markersize": 0} if not panel.markers else {}
    axes.plot(across, heights, **style | markers)


def _set_limits(axes: "Axes", panel: _Panel, runs: Sequence[_Run]) -> None:
    """Show what most values span, so that a few of the beginning do not flatten the rest."""
    if panel.smooth:
        settled = []
        for run in runs:
            steps, numbers = run.values(panel)
            settled.append(numbers[steps >= run.settled] if len(steps) else numbers)
        numbers = np.concatenate(settled)
        if len(numbers):
            low, high = np.percentile(numbers, SHOWN)
            margin = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
            axes.set_ylim(low - margin, high + margin)
    if panel.from_zero:
        axes.set_ylim(bottom=0)


def _style(index: int, count: int) -> dict[str, Any]:
    """Return how a run of several is drawn: colour, line, width, marker."""
    share = (count - 1 - index) / max(count - 1, 1)
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": STYLES[index % len(STYLES)],
        "linewidth": NARROWEST + (WIDEST - NARROWEST) * share if count > 1 else 1.8,
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 4 + 5 * share if count > 1 else 4,
    }


def smoothed(across: Numbers, heights: Numbers, width: float) -> Numbers:
    """Average each value with those around it, near an end with fewer, lest it be bent.

    Examples
    --------
    >>> import numpy as np
    >>> smoothed(np.arange(5.0), np.array([0.0, 3.0, 0.0, 3.0, 9.0]), 2.0)
    array([0., 1., 2., 4., 9.])
    """
    if not len(heights):
        return heights
    nearer_end = np.minimum(across - across[0], across[-1] - across)
    half = np.clip(nearer_end, width / 4, width / 2)
    low = np.searchsorted(across, across - half, "left")
    high = np.searchsorted(across, across + half, "right")
    sums = np.concatenate([[0.0], np.cumsum(heights)])
    means: Numbers = (sums[high] - sums[low]) / (high - low)
    return means


def _make_axes(panels: int, *, narrow: bool) -> "tuple[Figure, list[Axes]]":
    """Make axes in one or two full rows or a column, without pyplot, which looks for a screen."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = [panels] if panels <= 3 else [panels - panels // 2, panels // 2]
    if narrow:
        rows = [1] * panels
    figure = Figure(
        figsize=(1 + 4.0 * rows[0], 0.7 + 3.0 * len(rows)),
        dpi=130,
        layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08),
    )
    # Cells that a row of either length fills.
    grid = figure.add_gridspec(len(rows), int(np.lcm.reduce(rows)))
    all_axes = []
    for row, count in enumerate(rows):
        cells = grid.ncols // count
        for column in range(count):
            axes = figure.add_subplot(grid[row, column * cells : (column + 1) * cells])
            axes.grid(color="0.9")
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            all_axes.append(axes)
    return figure, all_axes


def _finish(figure: "Figure", names: Sequence[str], note: str, path: Path) -> None:
    """Name the runs below the panels, where no line can run, and write the file."""
    from matplotlib.lines import Line2D

    styles = [_style(index, len(names)) for index in range(len(names))]
    handles = [Line2D([], [], **style | {"markersize": 5}) for style in styles]
    letters = 12 * figure.get_figwidth()
    columns = max(1, min(len(names), int(letters // (12 + max(map(len, names))))))
    rows = -(-len(names) // columns)
    figure.set_figheight(figure.get_figheight() + 0.23 * (rows - 1))
    legend = figure.legend(
        handles,
        [""] * len(names),  # matplotlib would leave out a name that begins with "_"
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=11,
        title=note,
        title_fontsize=9,
        handlelength=3.5,
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)  # "$" in a name is a dollar
        text.set_text(name)
    with warnings.catch_warnings(), atomic_write(path) as part:
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font lacks is a box
        figure.savefig(part, format="png")
