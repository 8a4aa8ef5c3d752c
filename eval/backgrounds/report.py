"""Reliance on backgrounds as text: the table, and what its numbers are."""

from collections.abc import Mapping, Sequence
from typing import Any

#: What each column is, for below the table.
MEANINGS = {
    "original": "the images as they are; every number is a percentage",
    "only_fg": "the foreground on black",
    "no_fg": "the background, the foreground cut out in black",
    "mixed_same": "the foreground on a background of its own class",
    "mixed_rand": "on one of any class, its own too",
    "mixed_next": "on one of the next class",
    "only_bg_b": "the background, the object's box black",
    "only_bg_t": "the background, the object's box filled with background",
    "BG-gap": "mixed_same less mixed_rand, in points, with its 95 % interval",
    "follows rand": "of mixed_rand on another class's background, answered by that class",
    "follows next": "of mixed_next, answered by the background's class",
    "challenge": "foregrounds that no background of the test set makes mistaken",
}


def table(record: Mapping[str, Any]) -> list[str]:
    """Write one row a classifier, and below it what each number is.

    Parameters
    ----------
    record : mapping of str to object
        What the JSON says.

    Returns
    -------
    list of str
        Lines.
    """
    rows = [_row(result) for result in record["results"]]
    heads = [head for head in MEANINGS if any(head in row for row in rows)]
    width = max(len("classifier"), *(len(result["name"]) for result in record["results"]))
    wide = {head: max(len(head), *(len(row.get(head, "")) for row in rows)) for head in heads}
    lines = ["  ".join([f"{'classifier':<{width}}", *(f"{h:>{wide[h]}}" for h in heads)])]
    for result, row in zip(record["results"], rows, strict=True):
        cells = [f"{row.get(head, '-'):>{wide[head]}}" for head in heads]
        lines.append("  ".join([f"{result['name']:<{width}}", *cells]))
    chances = sorted({f"{result['chance']:.1f}" for result in record["results"]})
    lines += ["", *(f"{head:<12} {MEANINGS[head]}" for head in heads)]
    return [*lines, f"{'chance':<12} of one class: {' or '.join(chances)}"]


def _row(result: Mapping[str, Any]) -> dict[str, str]:
    """Write the cells of one classifier."""
    cells = {name: f"{told['value']:.1f}" for name, told in result["top1"].items()}
    if gap := result.get("bg_gap"):
        cells["BG-gap"] = f"{gap['value']:.1f} ({gap['low']:.1f} to {gap['high']:.1f})"
    for name, told in result["follows_background"].items():
        cells[f"follows {name.removeprefix('mixed_')}"] = f"{told['value']:.1f}"
    if attacked := result.get("challenge"):
        cells["challenge"] = f"{attacked['value']:.1f}"
    return cells


def heading(record: Mapping[str, Any]) -> str:
    """Say in a line what was judged.

    Parameters
    ----------
    record : mapping of str to object
        What the JSON says.

    Returns
    -------
    str
        For above the table.
    """
    if record["mode"] == "challenge":
        return f"the Backgrounds Challenge in {record['images']}, seen at {record['side']} px"
    counts = sorted({result["images"] for result in record["results"]})
    told = " or ".join(f"{count:,}" for count in counts)
    return (
        f"variations of {told} images of {record['images']}, {record['judged_classes']} classes, "
        f"by the masks {record['masks']}, seed {record['seed']}"
    )


def failures_of(failures: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Turn failures into what JSON holds.

    Parameters
    ----------
    failures : sequence of (str, str)
        Path and reason.

    Returns
    -------
    list of dict
        "path" and "reason", each once.
    """
    return [{"path": path, "reason": reason} for path, reason in dict.fromkeys(failures)]
