"""The beginning of the page: what to know before comparing, and all metrics side by side."""

from collections.abc import Sequence

from dilo.eval.common.intervals import Interval
from dilo.eval.records.comparison import Comparison
from dilo.eval.records.metrics import MetricValue
from dilo.eval.records.reading import Source
from dilo.eval.records.tasks import TASKS
from dilo.eval.report.content import (
    NOTHING,
    Cell,
    ReportData,
    Table,
    count_of,
    heading,
    span,
    unbroken,
    word,
    written,
)

#: Runs of which every pair is shown.
MOST_PAIRED = 6
#: Letters of a digest that are shown.
DIGEST = 12
#: Signs of how a run stands, and what they mean.
MARKS = {
    "best": ("★", "best, and by more than the noise of the number of test images"),
    "tied": ("≈", "best, or within the noise of the best"),
    "leading": ("•", "best by the number alone: its noise is not known"),
    "apart": ("†", "not measured alike, so not compared: the warnings say why"),
}
BETTER = {"more": "more is better", "less": "less is better", None: ""}


def warnings(data: ReportData) -> list[str]:
    """List what a reader must know before comparing."""
    each = [f"{task}: {words}." for task in TASKS for words in data.warnings(task)]
    digests = {run.name: d for run in data.runs if (d := digest(run, "images"))}
    if len(set(digests.values())) > 1:
        words = ", ".join(f"{name} {value[:DIGEST]}" for name, value in digests.items())
        each.append(f"training: the runs had different lists of images (digests {words}).")
    described = [run for run in data.runs if run.facts]
    if len({initial_digest(run) for run in described}) > 1:
        words = ", ".join(f"{run.name} {initial_words(run)}" for run in described)
        each.append(f"training: the runs began with different weights ({words}).")
    each += [
        f"training: {run.name} was extended {words}, and its cosine with it: a run of as many "
        "epochs from the beginning has other learning rates."
        for run in data.runs
        if (words := extension_words(run)) and run.recipe.get("optimizer.schedule") == "cosine"
    ]
    return each + [words for run in data.runs for words in _step_warnings(run)]


def digest(run: Source, kind: str) -> str:
    """Return a digest of what a run was trained on: "images", "masks" or "backgrounds"."""
    digests = run.facts.get("data")
    value = digests.get(kind) if isinstance(digests, dict) else None
    return value if isinstance(value, str) else ""


def initial_digest(run: Source) -> str:
    """Return the SHA-256 of the file that a run began with; empty for none."""
    init = run.facts.get("init")
    return str(init.get("sha256", "")) if isinstance(init, dict) else ""


def initial_words(run: Source) -> str:
    """Name the file that a run began with."""
    init = run.facts.get("init")
    if not isinstance(init, dict):
        return "at random"
    return f"{word(init.get('file'))} {initial_digest(run)[:DIGEST]}"


def extension_words(run: Source) -> str:
    """Say between which numbers of epochs a run was extended; nothing where it was not."""
    extended = run.facts.get("extended")
    entries = extended if isinstance(extended, list) else []
    numbers = [count_of(entry.get("epochs")) for entry in entries if isinstance(entry, dict)]
    if not numbers:
        return ""
    return f"from {' to '.join([*numbers, run.recipe.get('optimizer.epochs', NOTHING)])} epochs"


def _step_warnings(run: Source) -> list[str]:
    """Say whether the results of a run are of one checkpoint, and that its last."""
    steps = {r.task: int(r.step) for r in reversed(run.shown()) if r.step >= 0}
    if run.step is not None or not steps:
        return []
    if len(set(steps.values())) > 1:
        each = ", ".join(f"{task} {step}" for task, step in sorted(steps.items()))
        return [f"{run.name}: its results are of several checkpoints (steps: {each})."]
    last = max((line["step"] for line in run.lines), default=0)
    if last > (step := max(steps.values())):
        return [f"{run.name}: its results are of step {step}, and it has trained to {last}."]
    return []


def headline_table(data: ReportData) -> Table | None:
    """Put the first metrics of all tasks side by side; None where there are none."""
    groups: list[tuple[Cell, list[Comparison]]] = []
    for task in TASKS:
        sets = data.sets[task]
        for part in sets:
            rows = data.comparisons(part, data.names)
            rows = [row for row in rows if row.first.spec.section == "first"]
            name = f"{heading(task)}, {part.name}" if len(sets) > 1 else heading(task)
            if rows:
                groups.append((Cell(name, link=task), rows))
    return metric_table(groups, data.names) if groups else None


def difference_table(
    comparisons: Sequence[Comparison], columns: Sequence[str], caption: str = ""
) -> Table | None:
    """Write a row a pair of runs that saw the same images, below each metric; None without pairs.

    Of many runs, the pairs with the best one.
    """
    rows: list[list[Cell | str]] = []
    for comparison in comparisons:
        pairs = list(comparison.differences())
        if len(columns) > MOST_PAIRED and (ranked := comparison.ranked()):
            pairs = [pair for pair in pairs if any(value is ranked[0] for value in pair[:2])]
        if pairs:
            rows.append([Cell(unbroken(comparison.first.label))])
            rows += [_difference(*pair) for pair in pairs]
    if not rows:
        return None
    words = "Differences on the same images, in points, with their paired 95 % intervals"
    head = ["", "difference", "from", "to", "images"]
    caption = f"{caption}: {words}" if caption else words
    return Table(head, rows, caption, legend="bold: zero lies outside the interval")


def _difference(first: MetricValue, second: MetricValue, interval: Interval) -> list[Cell | str]:
    """Write how two runs differ."""
    low, high = interval
    return [
        f"{first.column} less {second.column}",
        Cell(f"{first.value - second.value:+.1f}", strong=low > 0 or high < 0),
        f"{low:+.1f}",
        f"{high:+.1f}",
        count_of(first.images),
    ]


def metric_table(
    groups: Sequence[tuple[Cell | None, Sequence[Comparison]]],
    columns: Sequence[str],
    caption: str = "",
) -> Table:
    """Write a row a metric and a column a run, each group of rows below its heading."""
    rows: list[list[Cell | str]] = []
    for head, comparisons in groups:
        rows += [[head]] if head else []
        rows += [_row(comparison, columns) for comparison in comparisons]
    marks = {row.mark(column) for _, group in groups for row in group for column in columns}
    legend = [f"{sign} {words}" for mark, (sign, words) in MARKS.items() if mark in marks]
    return Table(["", *columns, "images"], rows, caption, legend="; ".join(legend))


def _row(comparison: Comparison, columns: Sequence[str]) -> list[Cell | str]:
    """Write a metric of all runs, and of how many images it is."""
    spec = comparison.first.spec
    note = ", ".join(filter(None, (spec.unit, BETTER[spec.better])))
    counts = sorted({v.images for v in comparison.values.values() if v.images})
    return [
        Cell(unbroken(comparison.first.label), small=note),
        *(_cell(comparison, column) for column in columns),
        " / ".join(f"{count:,}" for count in counts) or NOTHING,
    ]


def _cell(comparison: Comparison, column: str) -> Cell | str:
    """Write a value with its sign and its interval."""
    value = comparison.values.get(column)
    if value is None:
        return NOTHING
    mark = comparison.mark(column)
    sign, meaning = MARKS.get(mark, ("", ""))
    return Cell(
        written(value.value, value.unit),
        sign=sign,
        meaning=meaning,
        small=span(value.interval, value.unit) if value.interval else "",
        strong=mark in ("best", "leading"),
    )
