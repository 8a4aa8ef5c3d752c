"""The sections of localisation and of mask quality: a row a map or a method, a column a measure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dilo.eval.report.gathered import Gathered, Section, warning
from dilo.eval.report.markup import Markup, escape, joined, paragraph, table, tag
from dilo.eval.report.reading import number
from dilo.eval.report.tasks import TASKS
from dilo.eval.report.walking import walk


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


LOCALISATION = (
    Measure("energy", "energy in the box, %"),
    Measure("pointing", "pointing game, %"),
    Measure("max_box_acc", "MaxBoxAcc, %"),
    Measure("max_box_acc_v2", "MaxBoxAccV2, %"),
    Measure("corloc", "CorLoc, %"),
    Measure("px_ap", "PxAP, %"),
)
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
    tables = []
    for source, result in gathered.records("localize"):
        found = [row for row, _ in walk(result.record, ["rows", "*"]) if isinstance(row, Mapping)]
        measures = [m for m in LOCALISATION if any(_value(row, m) is not None for row in found)]
        floors = {m: _floor(found, m) for m in measures}
        found.sort(key=lambda row: row.get("floor") is True)
        rows = [
            [_row_name(row), *(_cell(row, measure, floors[measure]) for measure in measures)]
            for row in found
        ]
        caption = f"{source.name}: {_counted(result.record)}"
        tables.append(table(["", *(m.head for m in measures)], rows, caption=caption))
    if not tables:
        return None
    words = (
        "Floors are maps that saw no image: what any network must exceed. \u25bd marks what does "
        "not exceed the best floor."
    )
    body = joined([warning(gathered, "localize"), *tables, paragraph(words, kind="note")])
    return Section("localize", TASKS["localize"].heading, body)


def _row_name(row: Mapping[str, Any]) -> str:
    """Name a row: whose map, by which method, of which class."""
    parts = [row.get(key) for key in ("name", "method", "class")]
    words = ", ".join(dict.fromkeys(str(part) for part in parts if part))
    return f"floor: {words}" if row.get("floor") is True else words


def _floor(rows: Iterable[Mapping[str, Any]], measure: Measure) -> float | None:
    """Find the best of the floors."""
    floors = [_value(row, measure) for row in rows if row.get("floor") is True]
    return max((value for value in floors if value is not None), default=None)


def _cell(row: Mapping[str, Any], measure: Measure, floor: float | None) -> Markup:
    """Write a measure, with a sign where it does not exceed the best floor."""
    value = _value(row, measure)
    if value is None:
        return escape("\u2013")
    text = f"{value:.{measure.digits}f}"
    if floor is None or row.get("floor") is True or value > floor:
        return escape(text)
    words = "does not exceed the best floor"
    return joined([tag("span", "\u25bd", title=words, aria_label=words, role="img"), " ", text])


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
