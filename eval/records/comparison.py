"""One metric of several runs: which is best, and whether that is more than chance."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from dilo.eval.common.inputs import data_name
from dilo.eval.common.intervals import Interval, difference
from dilo.eval.records.conditions import incomparable, of_same_images
from dilo.eval.records.metrics import MetricValue, paired_intervals
from dilo.eval.records.reading import Result, Source


@dataclass(frozen=True)
class Comparison:
    """A metric of all runs that have it."""

    #: By run.
    values: dict[str, MetricValue]
    #: Whether the records agree in what they must agree in.
    comparable: bool = True
    #: The 95 % intervals of first - second on the same images, by two runs.
    pairs: Mapping[tuple[str, str], Interval] = field(default_factory=dict)

    @property
    def first(self) -> MetricValue:
        """Return any of the values, for what all share."""
        return next(iter(self.values.values()))

    def ranked(self) -> list[MetricValue]:
        """Sort the values, the best first; none where they have no order."""
        if not self.comparable or len(self.values) < 2 or not self.first.spec.better:
            return []
        more = self.first.spec.better == "more"
        return sorted(self.values.values(), key=lambda v: v.value, reverse=more)

    def mark(self, column: str) -> str:
        """Tell how a run stands.

        "best" beats all others by more than noise; "tied" is within the noise of the first;
        "leading" is first where the noise is unknown; "apart" may not be compared; else "".
        """
        if column not in self.values:
            return ""
        if not self.comparable and len(self.values) > 1:
            return "apart"
        ranked = self.ranked()
        if not ranked:
            return ""
        top, mine = ranked[0], self.values[column]
        noise = [self.difference_interval(top, other) for other in ranked[1:]]
        if any(interval is None for interval in noise):
            leading = "tied" if ranked[1].value == top.value else "leading"
            return leading if mine.value == top.value else ""
        within = [
            other
            for other, interval in zip(ranked[1:], noise, strict=True)
            if interval is not None and interval[0] <= 0 <= interval[1]
        ]
        if mine is top:
            return "tied" if within else "best"
        return "tied" if any(mine is other for other in within) else ""

    def difference_interval(self, first: MetricValue, second: MetricValue) -> Interval | None:
        """Take the paired interval of first - second, or else compute it from their own."""
        return self.paired_interval(first, second) or difference_interval(first, second)

    def paired_interval(self, first: MetricValue, second: MetricValue) -> Interval | None:
        """Take the interval of first - second on the same images; None where it is not known."""
        if interval := self.pairs.get((first.column, second.column)):
            return interval
        if interval := self.pairs.get((second.column, first.column)):
            return -interval[1], -interval[0]
        return None

    def differences(self) -> Iterator[tuple[MetricValue, MetricValue, Interval]]:
        """List the pairs of runs that were measured alike, on the same images."""
        if self.comparable:
            for first, second in combinations(self.values.values(), 2):
                if interval := self.paired_interval(first, second):
                    yield first, second, interval


def difference_interval(first: MetricValue, second: MetricValue) -> Interval | None:
    """Compute the 95 % interval of first - second; None where that of one is not known."""
    if first.interval is None or second.interval is None:
        return None
    return difference(first.value, first.interval, second.value, second.interval)


def comparisons(
    values: Iterable[MetricValue], columns: Sequence[str], *, chosen: Collection[str] = ()
) -> list[Comparison]:
    """Put values side by side, one row for each task and label, in their order.

    The step is left open for the columns of `chosen`, whose checkpoint somebody named.
    """
    rows: dict[tuple[str, str], dict[str, MetricValue]] = {}
    others: dict[tuple[str, str], list[MetricValue]] = {}
    for value in values:
        if value.column in columns:
            rows.setdefault((value.task, value.label), {}).setdefault(value.column, value)
            others.setdefault((value.task, value.label), []).append(value)
    alike: dict[frozenset[tuple[str, Path]], bool] = {}  # of a thousand classes, once
    result = []
    for (task, label), row in rows.items():
        key = frozenset((name, v.result.path) for name, v in row.items())
        if key not in alike:
            records = {name: v.record for name, v in row.items()}
            alike[key] = not incomparable(task, records, chosen=chosen)
        ordered = {name: row[name] for name in columns if name in row}
        pairs = _pairs(row, others[task, label])
        result.append(Comparison(ordered, comparable=alike[key], pairs=pairs))
    return result


def _pairs(
    row: Mapping[str, MetricValue], values: Iterable[MetricValue]
) -> dict[tuple[str, str], Interval]:
    """Find the paired intervals of a row, by the outcomes of its values or by a record of pairs.

    Any record that has the row's very values does: a run may have a record of its own, and stand
    beside others in a second one.
    """
    by_outcomes = {
        (first.column, second.column): (share.low, share.high)
        for first, second in combinations(row.values(), 2)
        if first.outcomes
        and second.outcomes
        and (share := first.outcomes.difference(second.outcomes))
    }
    by_record: dict[Path, dict[str, str]] = {}
    records = {}
    for value in values:
        if value.value == row[value.column].value:
            columns = by_record.setdefault(value.result.path, {})
            columns[value.words.get("name", "")] = value.column
            records[value.result.path] = value
    return by_outcomes | {
        (columns[first], columns[second]): interval
        for path, columns in by_record.items()
        for first, second, interval in paired_intervals(records[path])
        if first in columns and second in columns
    }


@dataclass
class DataSet:
    """The records of a task that are of the same images."""

    task: str
    #: Told apart from the other data sets of the task.
    name: str
    #: With the run, or other folder, that each is of.
    results: list[tuple[Source, Result]] = field(default_factory=list)


def data_sets(
    task: str, results: Iterable[tuple[Source, Result]], *, chosen: Collection[str] = ()
) -> list[DataSet]:
    """Sort the records of a task by their images.

    A second record of a run on the same images, by other settings, goes beside those of other
    runs by these settings, or into a data set of its own.
    """
    sets: list[DataSet] = []
    for source, result in results:
        same = [s for s in sets if of_same_images(task, s.results[0][1].record, result.record)]
        free = [s for s in same if source.name not in [other.name for other, _ in s.results]]
        alike = [s for s in free if _alike(task, s, source, result, chosen)]
        fitting = alike or (free if len(free) == len(same) else [])
        if not fitting:
            sets.append(DataSet(task, _name(result, sets)))
            fitting = sets[-1:]
        fitting[0].results.append((source, result))
    return sets


def _alike(
    task: str, data: DataSet, source: Source, result: Result, chosen: Collection[str]
) -> bool:
    """Check whether a record was measured as those of a data set."""
    records = {other.name: r.record for other, r in data.results} | {source.name: result.record}
    return not incomparable(task, records, chosen=chosen)


def _name(result: Result, sets: Sequence[DataSet]) -> str:
    """Name a data set: as its record does, or by the folder of its images."""
    taken = [data.name for data in sets]
    name = result.record.get("name")
    if not (isinstance(name, str) and name):
        name = data_name(result.record.get("inputs"))
    if name in taken:
        name = f"{name} ({result.path.parent.name})" if name else result.path.parent.name
    return name
