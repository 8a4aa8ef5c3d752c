"""The results of detection: its record, and its table beside the published rows."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dilo.eval.common.results import record_head
from dilo.eval.common.tables import number_cell, text_table
from dilo.eval.detect.protocols import PROTOCOLS, Published, deviations
from dilo.eval.detect.recipe import DetectionRecipe
from dilo.eval.detect.run import Job, Scores
from dilo.eval.detect.scores import ApScores
from dilo.eval.detect.training import taken

#: What stands in the table, of boxes and of masks.
_COLUMNS = ("AP", "AP50", "AP75")
#: Classes named on a terminal, the best and the worst; the record has all.
_NAMED = 3


def detection_record(
    job: Job,
    recipe: DetectionRecipe,
    scores: Sequence[Scores],
    *,
    ranks: int,
    part: str,
) -> dict[str, Any]:
    """Gather what --json prints of one training or several; all numbers are in per cent.

    `part` says which part of the official images was used; empty for all.
    """
    protocol, train, test = PROTOCOLS[job.protocol], job.train, job.test
    changes = [*deviations(protocol, recipe), *([part] if part else [])]
    kinds = {"box": [each.box for each in scores], "mask": [each.mask for each in scores]}
    measured = {kind: [each for each in parts if each] for kind, parts in kinds.items()}
    first = measured["box"][0]
    return {
        **record_head("detect", [job.encoder]),
        "size": recipe.data.side,
        "space": job.encoder.space,
        "protocol": protocol.name,
        "about": protocol.about,
        "is_protocol": not changes,
        "is_comparable": protocol.comparable and not changes,
        "deviations": changes,
        "recipe": recipe.plain(),
        "taken": taken(recipe),
        "groups": recipe.groups,
        "ranks": ranks,
        "precision": job.machine.precision,
        "seeds": [each.seed for each in scores],
        "rule": first.rule,
        "remarks": list(first.remarks),
        "results": {
            kind: {name: _number(parts, name) for name in parts[0].numbers}
            for kind, parts in measured.items()
            if parts
        },
        "per_class": {
            kind: {name: _mean(part.per_class[name]["AP"] for part in parts) for name in named}
            for kind, parts in measured.items()
            if parts and (named := parts[0].per_class)
        },
        "train_images": len(train.images),
        "test_images": len(test.images),
        "inputs": {"train": train.listing(), "test": test.listing()},
        "published": [dataclasses.asdict(row) for row in protocol.published],
    }


def _number(parts: Sequence[ApScores], name: str) -> dict[str, Any]:
    """Gather a number of all trainings: its mean, its standard deviation, and each."""
    values = [value for part in parts if (value := part.numbers[name]) is not None]
    return {
        "value": _mean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "each": [part.numbers[name] for part in parts],
    }


def _mean(values: Iterable[float | None]) -> float | None:
    """Average the numbers that there are."""
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.fmean(numbers) if numbers else None


def detection_table(record: Mapping[str, Any]) -> list[str]:
    """Write for people what a record of `detection_record` says."""
    seeds = record["seeds"]
    kinds = list(record["results"])
    head = ["", *(f"{kind} {name}" for kind in kinds for name in _COLUMNS)]
    rows = [
        [
            f"this, mean of {len(seeds)}" if len(seeds) > 1 else "this",
            *(_cell(record["results"][kind][name]) for kind in kinds for name in _COLUMNS),
        ],
        *(_published_row(row, kinds) for row in record["published"]),
    ]
    changes = "; ".join(record["deviations"])
    words = f"{record['protocol']}: {record['about']}"
    lines = [
        f"detection, protocol {words}" + (f"; with deviations: {changes}" if changes else ""),
        *text_table(head, rows),
        record["rule"],
        *record["remarks"],
        record["taken"] + f", {record['precision']}",
    ]
    if record["published"] and not record["is_comparable"]:
        lines.append("the published rows are for orientation: this is not their protocol")
    if len(seeds) == 1 and record["published"]:
        lines.append("one training: others differ by some tenths of a point; --runs 3 gives a mean")
    return [*lines, *_extremes(record["per_class"].get("box", {}))]


def _cell(number: Mapping[str, Any]) -> str:
    """Write a number, with its deviation if there are several trainings."""
    deviation = number["std"]
    text = number_cell(number["value"], 1)
    return text if deviation is None else f"{text} +- {deviation:.1f}"


def _published_row(row: Mapping[str, Any], kinds: Sequence[str]) -> list[str]:
    """Write a row of somebody's table."""
    published = Published(**row)
    values = {"box": published.box, "mask": published.mask or (None,) * len(_COLUMNS)}
    cells = [number_cell(value, 1) for kind in kinds for value in values[kind]]
    return [f"{published.backbone} ({published.source})", *cells]


def _extremes(per_class: Mapping[str, float | None]) -> list[str]:
    """Name the best and the worst classes."""
    known = [(name, value) for name, value in per_class.items() if value is not None]
    ranked = sorted(known, key=lambda pair: -pair[1])
    if len(ranked) <= 2 * _NAMED:
        return [f"AP by class: {_classes(ranked)}"] if ranked else []
    best, worst = _classes(ranked[:_NAMED]), _classes(ranked[-_NAMED:])
    return [f"AP of the best classes: {best}; of the worst: {worst}"]


def _classes(pairs: Sequence[tuple[str, float]]) -> str:
    """Write classes and their AP."""
    return ", ".join(f"{name} {value:.1f}" for name, value in pairs)
