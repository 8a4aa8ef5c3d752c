"""The sections of localisation and of mask quality: a row a map or a method, a column a measure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dilo.eval.common.lookup import walk
from dilo.eval.records.conditions import differing
from dilo.eval.records.quantities import MEASURES
from dilo.eval.records.reading import Source, number
from dilo.eval.records.tasks import TASKS
from dilo.eval.report.gathered import Gathered, Section, measured, warning
from dilo.eval.report.markup import Markup, escape, joined, paragraph, table, tag
from dilo.eval.report.words import NOTHING


@dataclass(frozen=True)
class Measure:
    """A column.

    Attributes
    ----------
    path : str
        Where it stands in a row of the record.
    head : str
        Above the column.
    digits : int
        After the point.
    """

    path: str
    head: str
    digits: int = 1


LOCALISATION = tuple(Measure(f"numbers.{key}", f"{words}, %") for key, words, _ in MEASURES)
MASKS = (
    Measure("numbers.max_f_benchmark", "max F", 3),
    Measure("numbers.mean_f", "mean F", 3),
    Measure("numbers.weighted_f", "weighted F", 3),
    Measure("numbers.mae", "MAE (less is better)", 3),
    Measure("numbers.s_measure", "S", 3),
    Measure("numbers.e_measure_max", "max E", 3),
)


def localisation_section(gathered: Gathered) -> Section | None:
    """Show where maps look, above the floors that maps of no network reach.

    Parameters
    ----------
    gathered : Gathered
        What was read.

    Returns
    -------
    Section or None
        A table a record; None where there is none.
    """
    found = [
        (source.name, result.record, {**row, "name": _row_name(source, row)})
        for source, result in gathered.records("localize")
        for row, _ in walk(result.record, ["methods", "*"])
        if isinstance(row, Mapping)
    ]
    if not found:
        return None
    apart = differing("localize", {name: record for name, record, _ in found})
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for name, record, row in found:
        caption = f"{name}, {_counted(record)}" if apart else _counted(record)
        rows = tables.setdefault(caption, [])
        if row not in rows:  # floors are the same in every record of the same images
            rows.append(row)
    shown = [_localisation_table(rows, caption) for caption, rows in tables.items()]
    words = (
        "Floors are maps that look at no pixel of the image: what any other must exceed. "
        "▽ marks what does not exceed the best floor."
    )
    parts = [warning(gathered, "localize"), *shown, paragraph(words, kind="note")]
    if comparisons := gathered.comparisons("localize"):
        parts.append(measured(comparisons))
    body = joined(parts)
    return Section("localize", TASKS["localize"].heading, body)


def _localisation_table(found: list[Mapping[str, Any]], caption: str) -> Markup:
    """Write a row a kind of maps, the floors last."""
    measures = [m for m in LOCALISATION if any(_value(row, m) is not None for row in found)]
    floors = {measure: _floor(found, measure) for measure in measures}
    rows = [
        [row["name"], *(_cell(row, measure, floors[measure]) for measure in measures)]
        for row in sorted(found, key=lambda row: row.get("floor") is True)
    ]
    return table(["", *(measure.head for measure in measures)], rows, caption=caption)


def _row_name(source: Source, row: Mapping[str, Any]) -> str:
    """Name a row: whose map, by which method, of which class."""
    method, rule = row.get("method"), row.get("class")
    if source.is_run and isinstance(rule, str):
        return f"{source.name}, {method} of the {rule} class"
    return str(row.get("name", "?")) + (f", of the {rule} class" if isinstance(rule, str) else "")


def _floor(rows: Iterable[Mapping[str, Any]], measure: Measure) -> float | None:
    """Find the best of the floors."""
    floors = [_value(row, measure) for row in rows if row.get("floor") is True]
    return max((value for value in floors if value is not None), default=None)


def _cell(row: Mapping[str, Any], measure: Measure, floor: float | None) -> Markup:
    """Write a measure, with a sign where it does not exceed the best floor."""
    value = _value(row, measure)
    if value is None:
        return escape(NOTHING)
    text = f"{value:.{measure.digits}f}"
    if floor is None or row.get("floor") is True or value > floor:
        return escape(text)
    words = "does not exceed the best floor"
    return joined([tag("span", "▽", title=words, aria_label=words, role="img"), " ", text])


def _value(row: Mapping[str, Any], measure: Measure) -> float | None:
    """Take a measure out of a row."""
    return next((number(value) for value, _ in walk(row, measure.path.split("."))), None)


def _counted(record: Mapping[str, Any]) -> str:
    """Say of how many images a record is."""
    images = number(record.get("images"))
    return "number of images not told" if images is None else f"{images:,.0f} images"


def masks_section(gathered: Gathered) -> Section | None:
    """Show what masks score against ground truth.

    Parameters
    ----------
    gathered : Gathered
        What was read.

    Returns
    -------
    Section or None
        A table a record; None where there is none.
    """
    tables = []
    for source, result in gathered.records("saliency"):
        rows = [
            [str(row.get("method", "?")), *(_cell(row, measure, None) for measure in MASKS)]
            for row, _ in walk(result.record, ["methods", "*"])
            if isinstance(row, Mapping)
        ]
        caption = f"{source.name}: {_counted(result.record)}, truth {result.record.get('truth')}"
        tables.append(table(["", *(m.head for m in MASKS)], rows, caption=caption))
    if not tables:
        return None
    return Section("saliency", TASKS["saliency"].heading, joined(tables))
