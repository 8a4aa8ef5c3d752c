"""The gist of a record: its words and numbers, without what is long, private or of no use."""

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.images.names import escaped

#: Levels of dictionaries and lists below a record, entries of each, and letters of a word.
_DEEPEST, _MOST_KEYS, _MOST_ITEMS, _LONGEST = 3, 100, 20, 200
#: What every record says of itself, and a card says once, or what is told by its number.
_LEFT_OUT = ("task", "checkpoint", "step", "versions", "unreadable", "inputs")


def gist(values: Mapping[Any, Any], *, deepest: int = _DEEPEST) -> dict[str, Any]:
    """Keep what is short and plain of a record, or of a recipe.

    Parameters
    ----------
    values : mapping
        Of anything at all.
    deepest : int, default 3
        Levels of dictionaries and lists that are kept.

    Returns
    -------
    dict
        Its finite numbers, short texts and None, and short lists and dictionaries of these;
        of an absolute path, the last name. JSON can hold it.
    """
    found = {}
    for name, value in list(values.items())[:_MOST_KEYS]:
        kept = _kept(value, deepest - 1)
        if isinstance(name, str) and len(name) <= _LONGEST and kept is not ...:
            found[escaped(name)] = kept
    return found


def _kept(value: object, deepest: int) -> Any:
    """Keep a value, or give an ellipsis for one that is not kept."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else ...
    if isinstance(value, str):
        # Where a folder lies is nobody else's concern.
        value = PurePosixPath(value).name if value.startswith("/") else value
        return escaped(value) if len(value) <= _LONGEST else ...
    if deepest and isinstance(value, Mapping):
        return gist(value, deepest=deepest)
    if deepest and isinstance(value, list | tuple) and len(value) <= _MOST_ITEMS:
        kept = [_kept(item, deepest - 1) for item in value]
        return kept if ... not in kept else ...
    return ...


def run_of(checkpoint: Path) -> Path | None:
    """Find the run that a checkpoint is of.

    Parameters
    ----------
    checkpoint : Path
        A file.

    Returns
    -------
    Path or None
        The folder that has it in ``checkpoints``, or below ``eval``; None if there is none.
    """
    above = list(checkpoint.resolve().parents)[1:3]
    return next((folder for folder in above if (folder / "checkpoints").is_dir()), None)


def records_of(checkpoint: Path, step: int | None) -> dict[str, dict[str, Any]]:
    """Read what `dilo-eval` found for a checkpoint of a run.

    Parameters
    ----------
    checkpoint : Path
        The file.
    step : int or None
        Optimiser steps taken, where it says so.

    Returns
    -------
    dict of str to dict
        For each ``RUN/eval/TASK/NAME.json`` that speaks of this step, by its task: the record.
        A file that is none is passed over.
    """
    run, records = run_of(checkpoint), {}
    for path in sorted(run.glob("eval/*/*.json")) if run else []:
        try:
            record = read_json(path)
        except (OSError, ValueError):
            continue
        if not isinstance(record, dict) or not isinstance(record.get("task"), str):
            continue
        if record.get("step", step) in (step, None):
            name = path.stem if path.parent.name == path.stem else f"{path.parent.name}/{path.stem}"
            records[escaped(name)] = record
    return records


def result_gist(record: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what is short of a record, but for what a card says once.

    Parameters
    ----------
    record : mapping
        As `records_of` gives it.

    Returns
    -------
    dict
        Its gist; of images that could not be read, their number.
    """
    said = {k: value for k, value in record.items() if k not in _LEFT_OUT}
    unreadable = record.get("unreadable")
    if isinstance(unreadable, list) and unreadable:
        said["unreadable"] = len(unreadable)
    return gist(said)
