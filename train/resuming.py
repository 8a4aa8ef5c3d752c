"""Going on: a run to where its newest checkpoint left it, on all ranks."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dilo.pipeline.atomic import sweep
from dilo.pipeline.errors import CheckpointError
from dilo.train import ranks
from dilo.train.checkpoint import Learns, Standing, load, steps
from dilo.train.sections import RunRecipe

Stood = TypeVar("Stood", bound=Standing)


def resume(
    run: Path,
    learner: Learns,
    recipe: RunRecipe,
    data: Stood,
    say: Callable[[str], None],
    how: str = "auto",
) -> Stood | None:
    """Bring a run to where its newest readable checkpoint left it.

    Parameters
    ----------
    run : Path
        Folder of the run.
    learner : Learns
        As built from the recipe; filled in place.
    recipe : RunRecipe
        What is asked for; must be the run's own.
    data : Standing
        Digests of the images and masks that are given now.
    say : callable
        Told of a checkpoint that cannot be read.
    how : {"auto", "must", "never"}
        Whether there may, must or must not be a checkpoint.

    Returns
    -------
    Standing or None
        None if the run has no checkpoint yet.

    Raises
    ------
    CheckpointError
        If recipe or data differ from the run's, no checkpoint can be read, or there is one
        or none against what `how` says.
    """
    read: dict[Path, dict[str, Any]] = {}  # by rank 0, which need not read it again
    path = ranks.decide(lambda: _newest(run, recipe, data, say, how, read))
    if path is None:
        return None
    content = read.pop(path) if path in read else load(path)
    learner.restore(content)
    saved = content["dilo"]
    return data.at(saved["step"], saved["epoch"])


def _newest(
    run: Path,
    recipe: RunRecipe,
    data: Standing,
    say: Callable[[str], None],
    how: str,
    read: dict[Path, dict[str, Any]],
) -> Path | None:
    """Find the newest checkpoint that can be read, and keep it; refuse one that does not fit."""
    sweep(run / "checkpoints")
    found = steps(run)
    if found and how == "never":
        raise CheckpointError(
            f"--resume never needs a folder without checkpoints, got {found[0][1]}: give another "
            f"--out, or leave --resume out to go on from there"
        )
    if not found and how == "must":
        raise CheckpointError(
            f"--resume must needs a checkpoint to go on from, got none in {run / 'checkpoints'}: "
            f"check --out, or leave --resume out to begin"
        )
    for _, path in found:
        try:
            content = load(path)
        except CheckpointError as error:
            say(f"{error}; falling back to the one before")
            continue
        _require_same(path, content["dilo"], recipe, data)
        read[path] = content
        return path
    if found:
        raise CheckpointError(
            f"--out {run}: none of its {len(found)} checkpoints can be read: give a fresh folder"
        )
    return None


def _require_same(path: Path, saved: dict[str, Any], recipe: RunRecipe, data: Standing) -> None:
    """Refuse to go on with another recipe or other data, naming what differs."""
    asked = _flat(json.loads(json.dumps(dataclasses.asdict(recipe))))
    asked |= data.data()
    had = _flat(saved["recipe"]) | {name: saved.get(name, "") for name in data.data()}
    for key in asked:
        if had.get(key) != asked[key]:
            raise CheckpointError(
                f"{path} was made with {key} = {had.get(key)!r}, asked for {asked[key]!r}: "
                f"a run goes on with what it began with; give another --out for a new one"
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name nested values section.key."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
