"""All that the page is made of: runs, other results, metrics, and the pieces that it shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from dilo.eval.common.intervals import Interval
from dilo.eval.records.comparison import Comparison, DataSet, comparisons, data_sets
from dilo.eval.records.conditions import Condition, conditions, incomparable
from dilo.eval.records.metrics import MetricValue, metric_values
from dilo.eval.records.reading import Result, Source
from dilo.eval.records.tasks import TASKS
from dilo.eval.report.pictures import ImageStore, Picture

#: Stands where there is nothing.
NOTHING = "\u2013"
#: Digits after the point, by unit; shares and indices have three.
DIGITS = {"%": 1, "points": 1, "rank": 0}


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is more than text."""

    text: str
    #: Before it, and what that means.
    sign: str = ""
    meaning: str = ""
    #: Below it.
    small: str = ""
    strong: bool = False
    code: bool = False
    #: The section that it leads to.
    link: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row names it, and one cell alone heads the rows below it."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    #: Whether the cells are numbers, to be set against the right.
    numbers: bool = True
    #: What its signs mean.
    legend: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture with its caption."""

    picture: Picture
    #: What it shows, for those who cannot see it.
    alternative: str
    caption: str
    #: What narrow screens show in its place.
    narrow: Picture | None = None


@dataclass
class ReportData:
    """What was read."""

    #: Side by side, in the order given.
    runs: list[Source]
    #: Folders that belong to no single run.
    others: list[Source]
    #: Where pictures go.
    images: ImageStore
    #: Of all of them.
    values: list[MetricValue] = field(init=False)
    #: The records by task, and in a task by their images.
    sets: dict[str, list[DataSet]] = field(init=False)

    def __post_init__(self) -> None:
        firsts = [run.result(task) for run in self.runs for task in TASKS]
        self.values = metric_values(self.runs, self.others)
        self.sets = {
            task: data_sets(
                task,
                sorted(self.records(task), key=lambda pair: pair[1] not in firsts),
                chosen=self.chosen,
            )
            for task in TASKS
        }

    @property
    def sources(self) -> list[Source]:
        """List all that was read, the runs first."""
        return [*self.runs, *self.others]

    @property
    def names(self) -> list[str]:
        """List what the runs are called."""
        return [run.name for run in self.runs]

    @property
    def chosen(self) -> list[str]:
        """List the runs for which a checkpoint stands: their step is no accident."""
        return [run.name for run in self.runs if run.step is not None]

    def records(self, task: str) -> Iterator[tuple[Source, Result]]:
        """List the records of a task, those of the runs first."""
        for source in self.sources:
            yield from ((source, result) for result in source.shown() if result.task == task)

    def data_name(self, value: MetricValue) -> str:
        """Name the data set of a value."""
        return next((part.name for part in self.sets[value.task] if _holds(part, value)), "")

    def columns(self, data: DataSet) -> list[str]:
        """Name what has values in a data set, the runs first."""
        columns = dict.fromkeys(v.column for v in self.values if _holds(data, v))
        return [
            *(name for name in self.names if name in columns),
            *(name for name in columns if name not in self.names),
        ]

    def comparisons(self, data: DataSet, columns: Sequence[str]) -> list[Comparison]:
        """Put the values of a data set side by side."""
        values = [value for value in self.values if _holds(data, value)]
        return comparisons(values, columns, chosen=self.chosen)

    def differences(self) -> Iterator[tuple[MetricValue, MetricValue, Interval]]:
        """List the paired differences of all data sets."""
        for part in chain.from_iterable(self.sets.values()):
            for row in self.comparisons(part, self.columns(part)):
                yield from row.differences()

    def conditions(self, rows: Sequence[Comparison]) -> list[Condition]:
        """List how the values of some rows, all of a task, were measured."""
        records = {v.column: v.record for row in rows for v in row.values.values()}
        return conditions(rows[0].first.task, records) if rows else []

    def warnings(self, task: str) -> list[str]:
        """List what forbids to compare the runs, on a data set of all or by their first records."""
        records = {run.name: r.record for run in self.runs if (r := run.result(task))}
        for part in self.sets[task]:
            of_part = {source.name: result.record for source, result in part.results}
            if records.keys() <= of_part.keys():
                records = {name: of_part[name] for name in records}
                break
        return [c.sentence() for c in incomparable(task, records, chosen=self.chosen)]


def _holds(data: DataSet, value: MetricValue) -> bool:
    """Check whether a value is from a record of a data set."""
    return any(result is value.result for _, result in data.results)


def heading(task: str) -> str:
    """Return what a task is called."""
    return TASKS[task].heading if task in TASKS else task


def written(value: float, unit: str) -> str:
    """Write a number as its unit asks for, without the unit.

    Examples
    --------
    >>> written(53.58, "%"), written(0.5, "")
    ('53.6', '0.500')
    """
    return f"{value:.{DIGITS.get(unit, 3)}f}"


def with_unit(value: float, unit: str) -> str:
    """Write a number and its unit, with a space that does not break."""
    return f"{written(value, unit)}\u00a0{unit}" if unit else written(value, unit)


def unbroken(label: str) -> str:
    """Keep a number on the line of what it is: "k = 20"."""
    return label.replace(" = ", "\u00a0=\u00a0")


def span(interval: Interval, unit: str) -> str:
    """Write an interval, without its unit."""
    return "\u2013".join(written(end, unit) for end in interval)


def word(value: object) -> str:
    """Write a word of a record, if it is one."""
    return value if isinstance(value, str) and value else NOTHING


def count_of(value: object) -> str:
    """Write a count of a record, if it is one."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else NOTHING


def versions_words(value: Any) -> str:
    """Write versions by package in a line."""
    if not isinstance(value, dict) or not value:
        return NOTHING
    return ", ".join(f"{name} {version}" for name, version in value.items())
