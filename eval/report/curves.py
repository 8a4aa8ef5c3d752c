"""The section of the training's curves."""

from collections.abc import Sequence

from dilo.eval.records.reading import Source, number
from dilo.eval.report.gathered import Gathered, Section, figure
from dilo.eval.report.markup import Markup, joined, paragraph, table
from dilo.eval.report.words import NOTHING, with_unit
from dilo.train.monitor.plot import plot_runs

#: What is told of the end of a curve: field, what it is, factor, unit.
LAST = (
    ("loss", "loss", 1, ""),
    ("accuracy", "accuracy of the contrastive task", 100, "%"),
    ("knn_top1", "kNN top-1 of the monitor", 1, "%"),
)


def curves_section(gathered: Gathered) -> Section:
    """Draw what the runs recorded while they trained.

    Parameters
    ----------
    gathered : Gathered
        What was read.

    Returns
    -------
    Section
        One picture with a panel for loss, accuracy, kNN, learning rate, speed.
    """
    drawn = [run for run in gathered.runs if run.lines]
    parts = []
    if drawn:
        names = [run.name for run in drawn]
        wide = gathered.album.place("curves")
        narrow = gathered.album.place("curves", "narrow")
        for path in (wide, narrow):
            plot_runs([run.folder for run in drawn], path, names, narrow=path is narrow)
        alternative = f"Curves of the training of {', '.join(names)}"
        caption = "What the runs recorded."
        if any(_end(run, "knn_top1") for run in drawn):
            caption += " kNN here is the monitor's, while a run trained."
        pictures = [gathered.album.taken(path) for path in (wide, narrow)]
        parts += [figure(pictures[0], alternative, caption, pictures[1]), _last(drawn)]
    if lacking := [run.name for run in gathered.runs if not run.lines]:
        words = f"Nothing recorded in metrics.jsonl: {', '.join(lacking)}."
        parts.append(paragraph(words, kind="missing"))
    return Section("curves", "Curves of the training", joined(parts))


def _last(runs: Sequence[Source]) -> Markup:
    """Say where the curves end."""
    rows = []
    for key, words, factor, unit in LAST:
        ends = [_end(run, key) for run in runs]
        if any(ends):
            cells = [
                f"{with_unit(factor * end[1], unit)}, step {end[0]:,}" if end else NOTHING
                for end in ends
            ]
            rows.append([words, *cells])
    caption = "The last that each run recorded"
    return table(["", *(run.name for run in runs)], rows, caption=caption)


def _end(run: Source, key: str) -> tuple[int, float] | None:
    """Find the last number that a run recorded, and its step."""
    for line in reversed(run.lines):
        if (found := number(line.get(key))) is not None:
            return line["step"], found
    return None
