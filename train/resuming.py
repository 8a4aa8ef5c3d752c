"""Going on: a run to where its newest checkpoint left it, on all ranks."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dilo.pipeline.common.files import sweep
from dilo.pipeline.errors import CheckpointError
from dilo.train import ranks
from dilo.train.checkpoint import DamagedError, Learns, Standing, load, set_aside, steps
from dilo.train.record import RECORDS
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
        If recipe or data differ from the run's, no checkpoint of a step that was taken can be
        read, there are records without a checkpoint, or there is one or none against what
        `how` says. Then nothing in the folder is changed.
    AccessError
        If the system does not let a checkpoint be read now.
    """
    read: dict[Path, dict[str, Any]] = {}  # by rank 0, which need not read it again
    path = ranks.decide(lambda: _newest(run, recipe, data, say, how, read))
    if path is None:
        return None
    content = read.pop(path) if path in read else load(path)
    try:
        learner.restore(content)
    # Of torch, where a network or an optimiser has other parts than the file.
    except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path} must hold what this network and its optimiser need, but taking it up failed "
            f"({type(error).__name__}: {reason}): go on with the version of dilo that wrote it"
        ) from error
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
    if not found:
        _require_no_records(run)
        sweep(run / "checkpoints")
        return None
    damaged: list[tuple[Path, DamagedError]] = []
    for step, path in found:
        try:
            content = load(path)
        except DamagedError as error:
            damaged.append((path, error))
            continue
        if damaged and not step:
            break
        _require_same(path, content["dilo"], recipe, data)
        sweep(path.parent)
        _pass_over(damaged, path, say)
        read[path] = content
        return path
    raise CheckpointError(_nothing_left(run, len(found), damaged))


def _require_no_records(run: Path) -> None:
    """Refuse to begin where the records of a run lie, which would be overwritten."""
    if records := [name for name in RECORDS if (run / name).exists()]:
        raise CheckpointError(
            f"--out {run} must be a new folder or hold checkpoints to go on from, got "
            f"{', '.join(records)} of a run and no {run / 'checkpoints' / 'step-*.pt'}: give "
            f"another --out, put the checkpoints back, or move the records away"
        )


def _pass_over(
    damaged: Sequence[tuple[Path, DamagedError]], path: Path, say: Callable[[str], None]
) -> None:
    """Set aside what cannot be read, so that it counts as no checkpoint, and say so."""
    for broken, error in damaged:
        say(f"{error}; set aside as {set_aside(broken)}, and falling back to {path.name}")


def _nothing_left(run: Path, count: int, damaged: Sequence[tuple[Path, DamagedError]]) -> str:
    """Say that all steps taken would be lost, and what to do; nothing has been moved."""
    if len(damaged) == count:
        which = f"none of its {count} checkpoints can be read"
    else:
        which = f"of its {count} checkpoints, that of step 0 alone can be read"
    names = ", ".join(path.name for path, _ in damaged)
    return (
        f"--out {run}: {which}, and all training would be lost: put whole copies of {names} "
        f"back, give another --out to begin anew, or move them away to begin anew here. The "
        f"newest: {damaged[0][1]}"
    )


def _require_same(path: Path, saved: dict[str, Any], recipe: RunRecipe, data: Standing) -> None:
    """Refuse to go on with another recipe or other data, naming what differs.

    A key that is younger than the checkpoint has its default, which does what was done before.
    """
    defaults: Any = type(recipe)()
    wanted = _flat(_plain(dataclasses.asdict(recipe))) | data.data()
    had = _flat(_plain(dataclasses.asdict(defaults))) | _flat(saved["recipe"])
    had |= {name: saved.get(name, "") for name in data.data()}
    for key in (*wanted, *(key for key in had if key not in wanted)):
        if key not in wanted or key not in had or had[key] != wanted[key]:
            was, now = (repr(v[key]) if key in v else "nothing" for v in (had, wanted))
            raise CheckpointError(
                f"{path} was made with {key} = {was}, asked for {now}: "
                f"a run goes on with what it began with; give another --out for a new one"
            )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Make of values what JSON, and so a checkpoint, makes of them."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name nested values section.key."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
