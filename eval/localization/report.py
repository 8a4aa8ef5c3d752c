"""Scores as text: the table, the JSON record, the CSV of images."""

from collections.abc import Sequence
from typing import Any

from dilo.eval.localization.conventions import (
    NUMBERS,
    PREPARATION,
    Row,
    box_accuracies,
    box_threshold,
)
from dilo.eval.localization.measures import RIGHT_V2
from dilo.pipeline.common.tables import csv_text


def table(rows: Sequence[Row]) -> list[str]:
    """Write one row a kind of maps, floors last, and below what each number is.

    Parameters
    ----------
    rows : sequence of Row
        The kinds of maps.

    Returns
    -------
    list of str
        Lines; a column that no row has a number for is left out.
    """
    width = max(len("map"), *(len(row.name) for row in rows))
    all_columns = [(number, [number.value(row) for row in rows]) for number in NUMBERS]
    columns = [
        (number, values)
        for number, values in all_columns
        if any(value is not None for value in values)
    ]
    heads = [f"{number.head:>{_width(number.head)}}" for number, _ in columns]
    lines = ["  ".join([f"{'map':<{width}}", *heads])]
    for place, row in enumerate(rows):
        cells = [f"{_cell(values[place]):>{_width(number.head)}}" for number, values in columns]
        lines.append("  ".join([f"{row.name:<{width}}", *cells]))
    lines.append("")
    lines += [f"{number.head:<12} {number.key}: {number.meaning}" for number, _ in columns]
    return [*lines, f"all of them: {PREPARATION}"]


def _width(head: str) -> int:
    """Tell how wide a column is: at least 100.0."""
    return max(len(head), 5)


def _cell(value: float | None) -> str:
    """Write a number, or that there is none."""
    return "-" if value is None else f"{value:.1f}"


def row_record(row: Row) -> dict[str, Any]:
    """Gather what the JSON says of a kind of maps.

    Parameters
    ----------
    row : Row
        The maps.

    Returns
    -------
    dict
        Where they come from, the numbers by their keys, and what lies behind them.
    """
    accuracies = box_accuracies(row.score)[1:]
    return {
        "name": row.name,
        "method": row.method,
        "floor": row.floor,
        "checkpoint": row.checkpoint,
        "step": row.step,
        "class": row.rule,
        "numbers": {number.key: number.value(row) for number in NUMBERS},
        "max_box_acc_threshold": box_threshold(row.score),
        "max_box_acc_v2_by_overlap": dict(zip(map(str, RIGHT_V2), accuracies, strict=True)),
        "blank_maps": sum(row.score.blank),
    }


def conventions() -> dict[str, str]:
    """Say what each number is.

    Returns
    -------
    dict of str to str
        Meanings by key, and what holds for all under "all".
    """
    return {"all": PREPARATION, **{number.key: number.meaning for number in NUMBERS}}


def per_image(rows: Sequence[Row], images: Sequence[str]) -> str:
    """Write one row for each image of each kind of maps.

    Parameters
    ----------
    rows : sequence of Row
        The kinds of maps.
    images : sequence of str
        The images, as a line holds them.

    Returns
    -------
    str
        CSV with a head; shares from 0 to 1.
    """
    head = ("map", "image", "class", "predicted", "energy", "pointing", "iou", "blank")
    lines: list[tuple[object, ...]] = []
    for row in rows:
        score, nothing = row.score, [""] * len(images)
        columns = (
            images,
            row.classes or nothing,
            score.predicted or nothing,
            map(float, score.energy),
            map(float, score.pointing),
            map(float, score.overlap),
            map(int, score.blank),
        )
        lines += [(row.name, *cells) for cells in zip(*columns, strict=True)]
    return csv_text(head, lines, floats=".6f")
