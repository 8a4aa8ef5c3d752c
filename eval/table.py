"""Runs of several seeds in one table: means, deviations, and differences between arms.

An arm is the runs that differ in nothing but their seed. Two arms are compared over the seeds that
both have: run by run, for a seed decides the order of the images and the draws in both.
"""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from dilo.eval.common.intervals import Interval, mean_interval
from dilo.eval.common.results import Evaluation, Say, write_record
from dilo.eval.common.tables import text_table
from dilo.eval.records.comparison import DataSet, data_sets
from dilo.eval.records.conditions import incomparable
from dilo.eval.records.metrics import MetricSpec, MetricValue, metric_values
from dilo.eval.records.reading import Result, Source, read_source
from dilo.eval.records.tasks import TASKS
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.tables import csv_text
from dilo.pipeline.errors import DiloError

#: Letters of a line of a column's head.
HEAD: Final = 18
#: Digits after the point, by unit; shares and indices have four.
DIGITS: Final = {"%": 2, "points": 2, "rank": 1}
#: Stands where there is nothing.
NOTHING: Final = "-"
PLUS_MINUS: Final = "\u00b1"


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which runs are of which arm, and what becomes of the table."""

    #: Arm, and folder or checkpoint, of each run; without an arm, the folder names it.
    runs: Sequence[tuple[str | None, Path]]
    #: Whether text and Markdown have every metric, not only the first ones of each command.
    whole: bool
    #: Folder of the table; None for none.
    out: Path | None


@dataclass(frozen=True)
class Run:
    """A run of an arm."""

    arm: str
    #: Of its recipe; "" where it does not say.
    seed: str
    source: Source


@dataclass(frozen=True)
class Summary:
    """A metric of an arm, or its differences between two arms."""

    #: By seed.
    values: dict[str, float]
    mean: float
    #: Standard deviation of the values, of n - 1; None of one.
    deviation: float | None
    #: 95 % interval of the mean over all seeds; None of one value.
    interval: Interval | None

    @classmethod
    def of(cls, values: dict[str, float]) -> "Summary":
        """Summarize values by seed."""
        numbers = list(values.values())
        several = len(numbers) > 1
        return cls(
            values,
            fmean(numbers),
            stdev(numbers) if several else None,
            mean_interval(numbers) if several else None,
        )


@dataclass(frozen=True)
class Row:
    """A metric of all arms."""

    spec: MetricSpec
    label: str
    #: What it was measured on, in a word.
    data: str
    #: By arm.
    arms: dict[str, Summary]
    #: First - second, over the seeds that both have, by the two arms.
    differences: dict[tuple[str, str], Summary]


def evaluate(request: Request, say: Say) -> Evaluation:
    """Make the table, and write it if a folder is given."""
    runs = [
        Run(arm or _arm_by_folder(source), source.recipe.get("seed", ""), source)
        for number, (arm, path) in enumerate(request.runs)
        for source in [read_source(f"{number} {path}", path, is_run=True)]
    ]
    _require_seeds(runs)
    arms = list(dict.fromkeys(run.arm for run in runs))
    notes = [note for run in runs for note in run.source.notes]
    rows = list(_rows(runs, arms, notes))
    notes += _missing(runs, rows)
    for note in notes:
        say(note)
    shown = [row for row in rows if request.whole or row.spec.section == "first"]
    table = _text(arms, shown) or ["no results of dilo-eval"]
    record = _record(runs, arms, rows, notes, request.out)
    if request.out is not None:
        request.out.mkdir(parents=True, exist_ok=True)
        write_text(request.out / "table.txt", "\n".join([*table, *notes]) + "\n")
        write_text(request.out / "table.md", _markdown(arms, shown))
        write_text(request.out / "table.csv", _csv(arms, rows))
        write_record(request.out / "table.json", record)
    return Evaluation(record, table)


def _arm_by_folder(source: Source) -> str:
    """Name the arm of a run by its folder, without the seed at the end."""
    name, seed = source.folder.resolve().name, source.recipe.get("seed")
    return name.removesuffix(f"-{seed}") if seed else name


def _require_seeds(runs: Iterable[Run]) -> None:
    """Refuse two runs of an arm with one seed, which would count for more than they tell."""
    folders: dict[tuple[str, str], Path] = {}
    for run in runs:
        if run.seed and (run.arm, run.seed) in folders:
            raise DiloError(
                f"each run of an arm must have its own seed, got {folders[run.arm, run.seed]} and "
                f"{run.source.folder}, both of {run.arm} with seed {run.seed}: name the arm of "
                "each, ARM=RUN"
            )
        folders[run.arm, run.seed] = run.source.folder


def _rows(runs: Sequence[Run], arms: Sequence[str], notes: list[str]) -> Iterator[Row]:
    """Put each metric of all arms side by side, a data set after the other."""
    values = metric_values([run.source for run in runs], [])
    chosen = [run.source.name for run in runs]  # arms may differ in their steps
    for task in TASKS:
        results = [
            (run.source, result)
            for run in runs
            for result in run.source.shown()
            if result.task == task
        ]
        sets = data_sets(task, results, chosen=chosen)
        for part in sets:
            records = {source.name: result.record for source, result in part.results}
            differing = incomparable(task, records, chosen=chosen)
            name = part.name if len(sets) > 1 else ""
            if differing:
                words = ", ".join(condition.words for condition in differing)
                notes.append(
                    f"{' '.join(filter(None, (task, name)))}: arms are not compared, for they "
                    f"differ in: {words}"
                )
            yield from _rows_of(part, name, values, runs, arms, compare=not differing)


def _rows_of(
    part: DataSet,
    name: str,
    values: Iterable[MetricValue],
    runs: Sequence[Run],
    arms: Sequence[str],
    *,
    compare: bool,
) -> Iterator[Row]:
    """Put the metrics of a data set side by side."""
    by_name = {run.source.name: run for run in runs}
    results: list[Result] = [result for _, result in part.results]
    metrics: dict[str, tuple[MetricSpec, dict[str, dict[str, float]]]] = {}
    for value in values:
        run = by_name.get(value.column)
        if run is None or value.spec.section == "class":
            continue
        if any(value.result is result for result in results):
            _, of_arms = metrics.setdefault(value.label, (value.spec, {}))
            of_arms.setdefault(run.arm, {})[run.seed or value.column] = value.value
    for label, (spec, of_arms) in metrics.items():
        present = [arm for arm in arms if arm in of_arms]
        differences = {}
        for first, second in combinations(present, 2) if compare else ():
            one, other = of_arms[first], of_arms[second]
            # As a paper says it: what the later one gains on the earlier.
            if pairs := {seed: other[seed] - one[seed] for seed in one if seed in other}:
                differences[second, first] = Summary.of(pairs)
        summaries = {arm: Summary.of(of_arms[arm]) for arm in present}
        yield Row(spec, label, name, summaries, differences)


def _missing(runs: Sequence[Run], rows: Iterable[Row]) -> list[str]:
    """Say which runs lack what others have."""
    lacking: dict[str, list[str]] = {}
    for row in rows:
        for run in runs:
            arm = row.arms.get(run.arm)
            if arm is None or (run.seed or run.source.name) not in arm.values:
                what = " ".join(filter(None, (row.spec.task, row.data)))
                tasks = lacking.setdefault(run.source.folder.name, [])
                if what not in tasks:
                    tasks.append(what)
    return [f"{run} lacks: {', '.join(tasks)}" for run, tasks in lacking.items()]


def _text(arms: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Write a table for each command and data set, for a terminal."""
    lines: list[str] = []
    for heading, group in _groups(rows):
        heads = [
            [*textwrap.wrap(row.label, HEAD), *textwrap.wrap(_note(row.spec), HEAD)]
            for row in group
        ]
        height = max(map(len, heads))
        columns = [["arm"], ["seeds"], *heads]
        # The words of a head stand on the last lines above its numbers.
        padded = [[*[""] * (height - len(head)), *head] for head in columns]
        first, *others = zip(*padded, strict=True)
        lines += [*([""] if lines else []), heading]
        lines += text_table(first, [*others, *_cells(arms, group)])
    if any(row.differences for row in rows):
        lines += [
            "",
            f"mean {PLUS_MINUS} standard deviation over seeds; of a difference, mean and its 95 % "
            "interval (t) over the seeds that both have",
        ]
    elif lines:
        lines += ["", f"mean {PLUS_MINUS} standard deviation over seeds"]
    return lines


def _markdown(arms: Sequence[str], rows: Sequence[Row]) -> str:
    """Write the same tables in Markdown."""
    parts = []
    for heading, group in _groups(rows):
        heads = [
            f"{row.label} ({note})" if (note := _note(row.spec)) else row.label for row in group
        ]
        table = [["arm", "seeds", *heads], ["---", *["---:"] * (len(heads) + 1)]]
        lines = [
            f"| {' | '.join(map(_escaped, cells))} |" for cells in (*table, *_cells(arms, group))
        ]
        parts.append("\n".join([f"**{_escaped(heading)}**", "", *lines, ""]))
    return "\n".join(parts)


def _escaped(text: str) -> str:
    """Write text such that it ends no cell."""
    return text.replace("|", "\\|")


def _groups(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Sort rows by command and data set, each under a heading."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.spec.task, row.data), []).append(row)
    return [
        (", ".join(filter(None, (TASKS[task].heading, data))), group)
        for (task, data), group in groups.items()
    ]


def _note(spec: MetricSpec) -> str:
    """Say the unit of a metric, and where less is better."""
    return ", ".join(filter(None, (spec.unit, "less is better" if spec.better == "less" else "")))


def _cells(arms: Sequence[str], rows: Sequence[Row]) -> list[list[str]]:
    """Write a line for each arm, then one for its difference to the first."""
    lines = []
    for arm in arms:
        count = max((len(row.arms[arm].values) for row in rows if arm in row.arms), default=0)
        cells = [_cell(row.arms.get(arm), row.spec, count) for row in rows]
        lines.append([arm, str(count), *cells])
    for arm in arms[1:]:
        pairs = [row.differences.get((arm, arms[0])) for row in rows]
        count = max((len(pair.values) for pair in pairs if pair), default=0)
        if count:
            cells = [
                _difference(pair, row.spec, count) for pair, row in zip(pairs, rows, strict=True)
            ]
            lines.append([f"{arm} - {arms[0]}", str(count), *cells])
    return lines


def _cell(summary: Summary | None, spec: MetricSpec, count: int) -> str:
    """Write mean and deviation, and of how many seeds where those are fewer than of others."""
    if summary is None:
        return NOTHING
    digits = DIGITS.get(spec.unit, 4)
    text = f"{summary.mean:.{digits}f}"
    if summary.deviation is not None:
        text += f" {PLUS_MINUS} {summary.deviation:.{digits}f}"
    return text + _of(summary, count)


def _difference(summary: Summary | None, spec: MetricSpec, count: int) -> str:
    """Write a mean difference and its interval."""
    if summary is None:
        return NOTHING
    digits = DIGITS.get(spec.unit, 4)
    text = f"{summary.mean:+.{digits}f}"
    if summary.interval is not None:
        text += " [{:+.{d}f}, {:+.{d}f}]".format(*summary.interval, d=digits)
    return text + _of(summary, count)


def _of(summary: Summary, count: int) -> str:
    """Say of how many seeds a number is, where others of its line are of more."""
    return f" ({len(summary.values)})" if len(summary.values) < count else ""


_COLUMNS: Final = (
    *("arm", "task", "data", "metric", "unit", "better", "seeds", "mean", "deviation"),
    *("minus", "shared_seeds", "difference", "difference_deviation", "low", "high"),
)


def _csv(arms: Sequence[str], rows: Iterable[Row]) -> str:
    """Write a line for each arm and metric, with the difference to the first arm."""
    lines: list[list[object]] = []
    for row in rows:
        for arm in filter(row.arms.__contains__, arms):
            summary, difference = row.arms[arm], row.differences.get((arm, arms[0]))
            line: list[object] = [
                arm,
                row.spec.task,
                row.data,
                row.label,
                row.spec.unit,
                row.spec.better,
            ]
            line += [len(summary.values), summary.mean, summary.deviation]
            if difference:
                line += [arms[0], len(difference.values), difference.mean, difference.deviation]
                line += difference.interval or (None, None)
            lines.append([*line, *[None] * (len(_COLUMNS) - len(line))])
    return csv_text(_COLUMNS, lines)


def _record(
    runs: Sequence[Run],
    arms: Sequence[str],
    rows: Iterable[Row],
    notes: Sequence[str],
    out: Path | None,
) -> dict[str, Any]:
    """Gather all of it for JSON."""
    metrics = [
        {
            "task": row.spec.task,
            "data": row.data,
            "metric": row.label,
            "unit": row.spec.unit,
            "better": row.spec.better,
            "arms": {arm: asdict(summary) for arm, summary in row.arms.items()},
            "differences": [
                {"first": first, "second": second, **asdict(summary)}
                for (first, second), summary in row.differences.items()
            ],
        }
        for row in rows
    ]
    record = {
        "task": "table",
        "out": None if out is None else str(out),
        "arms": list(arms),
        "runs": [
            {"arm": run.arm, "seed": run.seed, "folder": str(run.source.folder)} for run in runs
        ],
        "metrics": metrics,
        "notes": list(notes),
    }
    plain: dict[str, Any] = json.loads(json.dumps(record))
    return plain
