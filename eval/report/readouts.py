"""The sections of tasks that are numbers of runs: kNN, linear probes, backgrounds."""

from collections.abc import Callable, Sequence

from dilo.eval.common.lookup import walk
from dilo.eval.records.comparison import Comparison, comparisons
from dilo.eval.records.quantities import Number
from dilo.eval.records.reading import number
from dilo.eval.records.tasks import TASKS
from dilo.eval.report.gathered import Gathered, Section, figure, measured, warning
from dilo.eval.report.markup import Markup, bullets, joined, paragraph, tag
from dilo.eval.report.overview import comparison_table, legend
from dilo.eval.report.plots import Line, dots_plot, lines_plot

#: Classes of a plot, at most: those in which runs differ most.
CLASSES = 40


def task_section(gathered: Gathered, task: str) -> Section | None:
    """Show the numbers of a task, and how they were measured.

    Parameters
    ----------
    gathered : Gathered
        What was read.
    task : str
        The command.

    Returns
    -------
    Section or None
        None where no run has a number.
    """
    found = gathered.comparisons(task)
    if not found:
        return None
    columns = gathered.columns(task)
    parts = [warning(gathered, task)]
    if shown := [c for c in found if c.first.quantity.place != "class"]:
        parts += [comparison_table(shown, columns), legend(shown, columns)]
    parts += [part(gathered) for part in BELOW.get(task, ())]
    parts.append(_per_class(gathered, task, found))
    parts.append(measured(found))
    if beside := comparisons(
        [n for n in gathered.numbers if n.task == task], gathered.asides(task)
    ):
        shown = [c for c in beside if c.first.quantity.place != "class"]
        names = list(dict.fromkeys(name for c in beside for name in c.numbers))
        parts += [tag("h3", "Of other images or settings"), comparison_table(shown, names)]
        parts.append(measured(beside))
    return Section(task, TASKS[task].heading, joined(parts))


def _per_class(gathered: Gathered, task: str, found: Sequence[Comparison]) -> Markup:
    """Draw a row a class, those first in which the runs differ most."""
    classes = [c for c in found if c.first.quantity.place == "class"]
    if not classes:
        return Markup()
    ks = [c.first.words.get("k") for c in classes]
    k = "20" if "20" in ks else ks[0]
    classes = [c for c in classes if c.first.words.get("k") == k]
    classes.sort(key=_spread, reverse=True)
    shown = classes[:CLASSES]
    names = [comparison.first.words["key"] for comparison in shown]
    values = {
        column: {c.first.words["key"]: n.value for c in shown if (n := c.numbers.get(column))}
        for column in gathered.columns(task)
    }
    path = gathered.album.place(task, "classes")
    what = shown[0].first.quantity.label.replace(" of {key}", "").format(k=k)
    dots_plot(values, path, across=f"{what}, %", labels=names)
    several = len(values) > 1
    caption = f"{what} of each class{', those first in which runs differ most' * several}."
    if len(classes) > CLASSES:
        caption += f" {CLASSES} of {len(classes)} classes; numbers.csv has all."
    picture = gathered.album.taken(path)
    shown_picture = figure(picture, f"{what} by class, a dot a run", caption)
    return joined([tag("h3", "By class"), shown_picture])


def _spread(comparison: Comparison) -> float:
    """Tell how far runs lie apart."""
    values = [found.value for found in comparison.numbers.values()]
    return max(values) - min(values)


def _knn_by_k(gathered: Gathered) -> Markup:
    """Draw kNN by the number of neighbours."""
    lines = []
    for column in gathered.columns("knn"):
        found = [
            n
            for n in gathered.numbers
            if n.column == column and n.task == "knn" and n.quantity.path == "results.*.top1"
        ]
        found = sorted((n for n in found if n.words.get("k", "").isdecimal()), key=_k)
        ends = [n.ends for n in found if n.ends]
        lines.append(
            Line(
                column,
                [_k(n) for n in found],
                [n.value for n in found],
                ends if ends and len(ends) == len(found) else None,
            )
        )
    if not any(len(line.across) > 1 for line in lines):
        return Markup()
    path = gathered.album.place("knn-by-k")
    lines_plot(lines, path, across="k, neighbours that vote", up="kNN top-1, %", log=True)
    caption = "kNN top-1 by the number of neighbours; shaded: 95 % intervals."
    return figure(gathered.album.taken(path), "kNN top-1 by k, a line a run", caption)


def _k(found: Number) -> float:
    """Tell the number of neighbours."""
    return float(found.words["k"])


def _linear_epochs(gathered: Gathered) -> Markup:
    """Draw the accuracy of linear probes over their epochs."""
    lines = []
    for source, result in gathered.records("linear"):
        pairs = [
            (number(epoch.get("epoch")), number(epoch.get("top1")))
            for epoch, _ in walk(result.record, ["epochs", "*"])
            if isinstance(epoch, dict)
        ]
        points = [(across, up) for across, up in pairs if across is not None and up is not None]
        lines.append(Line(source.name, [p[0] for p in points], [p[1] for p in points]))
    if not any(len(line.across) > 1 for line in lines):
        return Markup()
    path = gathered.album.place("linear-epochs")
    lines_plot(lines, path, across="Epoch of the probe", up="linear top-1, %")
    caption = "Accuracy on the test images after each epoch of the probe."
    return figure(gathered.album.taken(path), "Linear top-1 over the epochs of the probe", caption)


def _protocols(gathered: Gathered) -> Markup:
    """Say whether linear probes kept to their protocol, and left the trunk as it was."""
    words = []
    for source, result in gathered.records("linear"):
        protocol = result.record.get("protocol")
        name = protocol.get("name") if isinstance(protocol, dict) else protocol
        told = f"{source.name}: protocol {name if isinstance(name, str) else 'not told'}"
        if result.record.get("is_protocol") is False:
            told += ", but not as published"
        changes = result.record.get("departures")
        if isinstance(changes, list) and changes:
            told += f": {', '.join(map(str, changes))}"
        if result.record.get("trunk_unchanged") is False:
            told += "; THE TRUNK CHANGED, so this is no linear probe"
        words.append(told)
    return bullets(words)


def _fast(gathered: Gathered) -> Markup:
    """Say what a fast probe is not."""
    words = (
        "Not the protocol of any paper: features were made once, of the middle of each image, and "
        "the learning rate was chosen by a part of the training images."
    )
    return paragraph(words, kind="note")


def _variations(gathered: Gathered) -> Markup:
    """Draw the accuracy on each variation."""
    begin = "results.*.top1."
    values: dict[str, dict[str, float]] = {name: {} for name in gathered.columns("backgrounds")}
    # Records of other images or settings have a table of their own.
    found = [
        n for n in gathered.numbers if n.quantity.path.startswith(begin) and n.column in values
    ]
    for one in found:
        values[one.column].setdefault(one.quantity.path.removeprefix(begin), one.value)
    labels = list(dict.fromkeys(one.quantity.path.removeprefix(begin) for one in found))
    if not labels:
        return Markup()
    path = gathered.album.place("backgrounds")
    dots_plot(values, path, across="accuracy, %", labels=labels)
    caption = "Accuracy by what is shown; mixed_same less mixed_rand is the BG-gap."
    return figure(gathered.album.taken(path), "Accuracy by variation, a dot a run", caption)


#: What stands below the table of a task's numbers.
BELOW: dict[str, tuple[Callable[[Gathered], Markup], ...]] = {
    "knn": (_knn_by_k,),
    "linear": (_protocols, _linear_epochs),
    "linear-fast": (_fast,),
    "backgrounds": (_variations,),
}
