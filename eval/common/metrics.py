"""Numbers that sum up what a method scores, each with the convention that makes it what it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from dilo.eval.common.tables import number_cell, text_table

Scores = TypeVar("Scores")


@dataclass(frozen=True)
class Metric(Generic[Scores]):
    """A number that sums up what a method scores."""

    #: Its name in files.
    key: str
    #: Its name above a column.
    column: str
    #: How it is computed, and where it is missing.
    meaning: str
    #: From what a method scores to the number; None where there is none.
    value: Callable[[Scores], float | None]


def metric_values(metrics: Sequence[Metric[Scores]], scores: Scores) -> dict[str, float | None]:
    """Compute each number, by its key."""
    return {metric.key: metric.value(scores) for metric in metrics}


def definitions(metrics: Sequence[Metric[Scores]], preparation: str) -> dict[str, str]:
    """Say what each number is, by its key, and under "all" what holds for all of them."""
    return {"all": preparation, **{metric.key: metric.meaning for metric in metrics}}


def metric_table(
    what: str,
    rows: Mapping[str, Scores],
    metrics: Sequence[Metric[Scores]],
    preparation: str,
    *,
    digits: int,
) -> list[str]:
    """Write a row for each name, and below it what each number is.

    Parameters
    ----------
    what : str
        What the names are, above their column.
    rows : mapping of str to object
        What each scores.
    metrics : sequence of Metric
        The columns; one that no row has a number for is not shown.
    preparation : str
        What holds for all numbers.
    digits : int
        Digits after the point.

    Returns
    -------
    list of str
        Lines.
    """
    columns = [(metric, [metric.value(scores) for scores in rows.values()]) for metric in metrics]
    columns = [(metric, values) for metric, values in columns if any(v is not None for v in values)]
    head = [what, *(metric.column for metric, _ in columns)]
    cells = [
        [name, *(number_cell(values[place], digits) for _, values in columns)]
        for place, name in enumerate(rows)
    ]
    meanings = [f"{metric.column:<12} {metric.key}: {metric.meaning}" for metric, _ in columns]
    return [*text_table(head, cells), "", *meanings, f"all of them: {preparation}"]
