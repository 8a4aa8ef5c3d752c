"""The beginning of the page: what the numbers say, and all of them side by side."""

from collections.abc import Sequence

from dilo.eval.records.comparison import Comparison
from dilo.eval.records.quantities import Quantity
from dilo.eval.records.reading import Source
from dilo.eval.records.tasks import TASKS
from dilo.eval.report.gathered import Gathered, Section
from dilo.eval.report.markup import Markup, bullets, escape, joined, paragraph, table, tag
from dilo.eval.report.runs import DIGEST, digest
from dilo.eval.report.words import NOTHING, sentence, span, summary, unbroken, written

#: Signs of how a number stands, and what they say.
MARKS = {
    "best": ("★", "best, and by more than the noise of the number of test images"),
    "even": ("≈", "best, or within the noise of the best"),
    "first": ("•", "best by the number alone: how much of it is chance is not known"),
    "apart": ("†", "not measured alike, so not compared: the warnings say why"),
}


def summary_section(gathered: Gathered) -> Section:
    """Say in words how the runs stand, and what is wrong with the comparison.

    Parameters
    ----------
    gathered : Gathered
        What was read.

    Returns
    -------
    Section
        The first one.
    """
    told = _told(gathered)
    parts = [
        paragraph(summary(told, gathered.names), kind="summary"),
        bullets(sentence(comparison, gathered.names) for comparison in told),
    ]
    if warnings := _warnings(gathered):
        parts.append(paragraph(tag("strong", "Before you compare:")))
        parts.append(bullets(warnings, kind="warning"))
    parts.append(
        paragraph(
            "Intervals hold 95 % and are those of a share of so many test images (Wilson; of "
            "differences Newcombe, as if each run had images of its own). They say nothing of "
            "how much another seed of the training would change: that takes several runs.",
            kind="note",
        )
    )
    return Section("summary", "Summary", joined(parts))


def _told(gathered: Gathered) -> list[Comparison]:
    """Choose what the summary tells: of each family the number that most runs have."""
    families: dict[Quantity, list[Comparison]] = {}
    for comparison in gathered.comparisons():
        if comparison.first.quantity.told:
            families.setdefault(comparison.first.quantity, []).append(comparison)
    return [
        # Of kNN, where all k are in all runs, the one that the monitor of the training has.
        max(family, key=lambda c: (len(c.numbers), c.first.words.get("k") == "20"))
        for family in families.values()
    ]


def _warnings(gathered: Gathered) -> list[str]:
    """List what a reader must know before comparing."""
    each = [f"{task}: {s.sentence()}." for task in TASKS for s in gathered.differing(task)]
    each += _data_warnings(gathered)
    return each + [words for run in gathered.runs for words in _step_warnings(run)]


def _step_warnings(run: Source) -> list[str]:
    """Say whether the results of a run are of one checkpoint, and that its last."""
    steps = {r.task: int(r.step) for r in run.chosen() if r.step >= 0}
    if len(set(steps.values())) > 1:
        each = ", ".join(f"{task} {step}" for task, step in steps.items())
        return [f"{run.name}: its results are of several checkpoints (steps: {each})."]
    taken = max((line["step"] for line in run.lines), default=0)
    if steps and taken > (step := max(steps.values())):
        return [f"{run.name}: its results are of step {step}, and it has trained to {taken}."]
    return []


def _data_warnings(gathered: Gathered) -> list[str]:
    """Say whether runs were trained on the same images."""
    told = {run.name: found for run in gathered.runs if (found := digest(run, "images"))}
    if len(set(told.values())) > 1:
        each = ", ".join(f"{name} {found[:DIGEST]}" for name, found in told.items())
        return [f"training: the runs had different lists of images (digests {each})."]
    return []


def numbers_section(gathered: Gathered) -> Section:
    """Put all headline numbers side by side.

    Parameters
    ----------
    gathered : Gathered
        What was read.

    Returns
    -------
    Section
        The table, with the meaning of its signs.
    """
    found = [c for c in gathered.comparisons() if c.first.quantity.place == "first"]
    if not found:
        return Section("numbers", "Numbers", paragraph("None yet.", kind="missing"))
    body = [comparison_table(found, gathered.names), legend(found, gathered.names)]
    body.append(paragraph("numbers.csv beside this page has these and all others.", kind="note"))
    return Section("numbers", "Numbers", joined(body))


def comparison_table(
    comparisons: Sequence[Comparison], runs: Sequence[str], caption: str | None = None
) -> Markup:
    """Write a row a number and a column a run.

    Parameters
    ----------
    comparisons : sequence of Comparison
        The rows.
    runs : sequence of str
        The columns.
    caption : str, optional
        Above the table.

    Returns
    -------
    Markup
        The table.
    """
    rows: list[list[object]] = []
    tasks = list(dict.fromkeys(comparison.first.task for comparison in comparisons))
    for task in tasks:
        if len(tasks) > 1:
            rows.append([tag("a", TASKS[task].heading, href=f"#{task}")])
        rows += [_row(c, runs) for c in comparisons if c.first.task == task]
    return table(["", *runs, "n"], rows, caption=caption)


def _row(comparison: Comparison, runs: Sequence[str]) -> list[object]:
    """Write a number of all runs, and of how many images it is."""
    quantity = comparison.first.quantity
    label = unbroken(comparison.first.label)
    better = {"more": "more is better", "less": "less is better", None: ""}[quantity.better]
    note = ", ".join(word for word in (quantity.unit, better) if word)
    counts = sorted({n.images for n in comparison.numbers.values() if n.images})
    return [
        joined([label, tag("br"), tag("small", note, class_="note")]),
        *(_cell(comparison, run) for run in runs),
        " / ".join(f"{count:,}" for count in counts) or NOTHING,
    ]


def legend(comparisons: Sequence[Comparison], runs: Sequence[str]) -> Markup:
    """Say what the signs of a table mean, those that it has.

    Parameters
    ----------
    comparisons : sequence of Comparison
        The rows.
    runs : sequence of str
        The columns.

    Returns
    -------
    Markup
        A paragraph; nothing where there are no signs.
    """
    used = {_standing(comparison, run) for comparison in comparisons for run in runs}
    told = [f"{sign} {words}" for kind, (sign, words) in MARKS.items() if kind in used]
    return paragraph("; ".join(told) + ".", kind="note") if told else Markup()


def _standing(comparison: Comparison, run: str) -> str:
    """Tell the sign of a cell."""
    if run in comparison.numbers and not comparison.comparable and len(comparison.numbers) > 1:
        return "apart"
    return comparison.mark(run)


def _cell(comparison: Comparison, run: str) -> Markup:
    """Write a number with its sign and its interval."""
    found = comparison.numbers.get(run)
    if found is None:
        return escape(NOTHING)
    standing = _standing(comparison, run)
    text: Markup = escape(written(found.value, found.unit))
    if standing in MARKS:
        sign, words = MARKS[standing]
        strong = tag("strong", text) if standing in ("best", "first") else text
        text = joined([tag("span", sign, title=words, aria_label=words, role="img"), " ", strong])
    if found.ends:
        text = joined([text, tag("small", span(found.ends, found.unit))])
    return text
