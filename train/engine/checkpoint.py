"""Checkpoints: all that resuming needs, published whole, with a fallback; and how a run resumes."""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from dilo.pipeline.common.files import atomic_write, remove_leftovers
from dilo.pipeline.errors import REMEDIES, CheckpointError, first_few, require_access, system_errno
from dilo.train.methods.base import TrainableModel
from dilo.train.monitor.run_info import RECORDS
from dilo.train.recipes.recipe import RunRecipe
from dilo.train.recipes.schema import flat
from dilo.train.runtime import distributed
from dilo.train.weights.torchfile import read, reason_of

#: Version of what stands under "dilo" in a checkpoint.
FORMAT_VERSION = 1
#: Checkpoints kept: the newest, and one to fall back to.
KEPT = 2
#: Where those lie that cannot be read, below the checkpoints.
DAMAGED = "damaged"

#: Steps that no run takes, and the name of a file has no room for.
_MOST_STEPS = 10**8
#: What is said of the weights that a run began with.
_INIT = ("file", "sha256", "layout", "taken")
#: The one setting that may grow, once a run is finished.
_EPOCHS = "optimizer.epochs"
_REMEDY = "move it elsewhere to resume from the one before, or give another --out"
_NAME = re.compile(r"^step-(\d{8})\.pt$")


class DamagedError(CheckpointError):
    """A checkpoint that was read and is no whole file."""


def checkpoint_path(run: Path, step: int) -> Path:
    """Return the path of the checkpoint of a step."""
    return run / "checkpoints" / f"step-{step:08d}.pt"


@dataclass(frozen=True, eq=False, kw_only=True)
class Checkpoints:
    """The checkpoints of a run: the newest two stay, and that of step 0, before training."""

    #: Folder of the run.
    run: Path
    #: Of the run; it goes on with no other.
    recipe: RunRecipe
    #: Digests of what the run stands on; it goes on with nothing else.
    data: Mapping[str, str]
    #: Networks and memory, as built from the recipe.
    model: TrainableModel
    #: Its momentum.
    optimizer: torch.optim.Optimizer
    #: Its scale, where gradients are float16.
    scaler: torch.amp.GradScaler
    #: What else a checkpoint says of the run, as plain values that nothing is compared with.
    notes: Mapping[str, Any] = field(default_factory=dict)
    #: SHA-256 of the file that the run is asked to begin with; empty for none, or the same.
    initial: str = ""
    #: How the run came about, which each checkpoint takes over from the one before: `init`, the
    #: weights that it began with, and `extended`, at which steps it had finished, after how many
    #: epochs, and was given more.
    history: dict[str, Any] = field(default_factory=dict)

    def save(self, step: int, epoch: int, *, keep_every: int = 0) -> Path:
        """Publish a checkpoint, and remove those that are no longer needed."""
        path = checkpoint_path(self.run, step)
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = {"format": FORMAT_VERSION, "step": step, "epoch": epoch, **self.data, **self.notes}
        meta |= self.history
        content = {
            "epoch": epoch,
            "arch": self.recipe.model.arch,
            **self.model.checkpoint(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "dilo": {**meta, "recipe": _plain(self.recipe)},
        }
        advice = "the checkpoints before are kept; make room and run the same command to resume"
        save_torch_file(path, content, advice)
        # What is of a later step is none of this run's, and stays.
        earlier = [(number, old) for number, old in list_checkpoints(self.run) if number <= step]
        for number, old in earlier[KEPT:]:
            if number % keep_every if keep_every else number:
                old.unlink(missing_ok=True)
        return require_exists(path)

    def resume(self, say: Callable[[str], None], mode: str = "auto") -> int | None:
        """Bring the run, on all ranks, to where its newest readable checkpoint left it.

        Returns the optimiser steps taken; None if the run has no checkpoint yet.
        """
        contents: dict[Path, dict[str, Any]] = {}  # by rank 0, which need not read it again
        path = distributed.on_rank_zero(lambda: self._newest(mode, say, contents))
        if path is None:
            return None
        content = contents.pop(path) if path in contents else load(path)
        self.restore(content)
        self.history.update(self._history_of(content["dilo"]))
        return int(content["dilo"]["step"])

    def extended_from(self, step: int) -> int | None:
        """Return after how many epochs the run was finished, if at this step it was given more."""
        last = self.history.get("extended", [{}])[-1]
        return last["epochs"] if last.get("step") == step else None

    def restore(self, content: Mapping[str, Any]) -> None:
        """Load the state of a checkpoint."""
        _require_state(content)
        try:
            self.model.load_checkpoint(content)
            self.optimizer.load_state_dict(content["optimizer"])
            _require_fitting(self.optimizer)
            if content["scaler"]:
                self.scaler.load_state_dict(content["scaler"])
        # Values that are no weights, or fit another network, fail anywhere in torch.
        except (LookupError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise CheckpointError(
                "the checkpoint to resume from must hold the state of this network and its "
                f"optimiser, but loading it failed ({reason_of(error)}): {_REMEDY}"
            ) from error

    def _newest(
        self, mode: str, say: Callable[[str], None], contents: dict[Path, dict[str, Any]]
    ) -> Path | None:
        """Find the newest checkpoint that can be read; refuse one that does not fit."""
        run, checkpoints = self.run, list_checkpoints(self.run)
        if checkpoints and mode == "never":
            raise CheckpointError(
                f"--resume never needs a folder without checkpoints, got {checkpoints[0][1]}: give "
                f"another --out, or omit --resume to resume from it"
            )
        if not checkpoints and mode == "must":
            raise CheckpointError(
                f"--resume must needs a checkpoint to resume from, got none in "
                f"{run / 'checkpoints'}: check --out, or omit --resume to start"
            )
        if not checkpoints:
            _require_no_records(run)
            remove_leftovers(run / "checkpoints")
            return None
        damaged: list[tuple[Path, DamagedError]] = []
        for step, path in checkpoints:
            try:
                content = load(path)
            except DamagedError as error:
                damaged.append((path, error))
                continue
            if damaged and not step:
                break
            self._require_same(path, content["dilo"])
            self._require_same_initial(path, content["dilo"])
            remove_leftovers(path.parent)
            _set_aside_damaged(damaged, path, say)
            contents[path] = content
            return path
        raise CheckpointError(_all_damaged(run, len(checkpoints), damaged))

    def _require_same(self, path: Path, saved: Mapping[str, Any]) -> None:
        """Refuse to go on with another recipe or other data, naming what differs.

        A key that is younger than the checkpoint has its default, which does what was done before.
        """
        defaults: Any = type(self.recipe)()
        expected = flat(_plain(self.recipe)) | dict(self.data)
        stored = flat(_plain(defaults)) | flat(saved["recipe"])
        stored |= {name: saved.get(name, "") for name in self.data}
        for key in (*expected, *(key for key in stored if key not in expected)):
            if key == _EPOCHS and self._extends(saved):
                continue
            if key not in expected or key not in stored or stored[key] != expected[key]:
                was, now = _in_words(key, stored, saved), _in_words(key, expected, self.notes)
                rule = (
                    self._epochs_rule(saved) if key == _EPOCHS else "resumes with its own settings"
                )
                raise CheckpointError(
                    f"{path} was made with {key} = {was}, asked for {now}: a run {rule}; give "
                    "another --out for a new run"
                )

    def _require_same_initial(self, path: Path, saved: Mapping[str, Any]) -> None:
        """Refuse to go on with a run that began with other weights than it is asked to."""
        init = _init_of(saved)
        if self.initial and self.initial != init.get("sha256"):
            began = (
                f"with {init['file']}, SHA-256 {init['sha256'][:12]}" if init else "without --init"
            )
            raise CheckpointError(
                f"{path} is of a run that began {began}, asked for weights of SHA-256 "
                f"{self.initial[:12]}: omit --init to resume it, or give another --out"
            )

    def _extends(self, saved: Mapping[str, Any]) -> bool:
        """Check whether a run is finished and given more epochs."""
        before = _epochs_of(saved)
        return before is not None and before <= saved["epoch"] < self.recipe.optimizer.epochs

    def _epochs_rule(self, saved: Mapping[str, Any]) -> str:
        """Say why a run cannot have another number of epochs."""
        before = _epochs_of(saved)
        if before is None or before > self.recipe.optimizer.epochs:
            return "can be extended, not shortened"
        return (
            f"can be extended when it is finished, and this one is at epoch {saved['epoch']}: "
            f"finish it first, with {_EPOCHS} = {before}"
        )

    def _history_of(self, saved: Mapping[str, Any]) -> dict[str, Any]:
        """Read how a run came about, and add that it is extended, where it is."""
        extended = saved.get("extended")
        extended = extended if _are_extensions(extended) else []
        if self._extends(saved):
            extended = [*extended, {"step": saved["step"], "epochs": _epochs_of(saved)}]
        history = {"init": _init_of(saved), "extended": extended}
        return {name: value for name, value in history.items() if value}


def _in_words(key: str, values: Mapping[str, Any], notes: Mapping[str, Any]) -> str:
    """Write a value for people; masks, by how they were made and a short digest."""
    if key == "masks" and values.get(key) and (words := notes.get("mask_store")):
        return f"{words} (digest {values[key][:12]})"
    return repr(values[key]) if key in values else "nothing"


def _epochs_of(saved: Mapping[str, Any]) -> int | None:
    """Read for how many epochs a checkpoint's run was to be; None where it says no such number."""
    epochs = flat(saved["recipe"]).get(_EPOCHS)
    return epochs if type(epochs) is int else None


def _init_of(saved: Mapping[str, Any]) -> dict[str, str]:
    """Read which weights a checkpoint's run began with; empty where it does not say so whole."""
    init = saved.get("init")
    init = init if isinstance(init, Mapping) else {}
    facts = {name: init[name] for name in _INIT if isinstance(init.get(name), str)}
    return facts if len(facts) == len(_INIT) else {}


def _are_extensions(value: object) -> TypeGuard[list[dict[str, int]]]:
    """Check that what a checkpoint says of extensions is what `Checkpoints` wrote."""
    return isinstance(value, list) and all(
        isinstance(entry, dict)
        and entry.keys() == {"step", "epochs"}
        and all(_is_step_count(number) for number in entry.values())
        for entry in value
    )


def _require_state(content: Mapping[str, Any]) -> None:
    """Refuse a state that has other values than training can use."""
    meta = content.get("dilo", {"step": 0, "epoch": 0})
    state = content.get("state_dict")
    checks = {
        "step": _is_step_count(meta.get("step")),
        "epoch": _is_step_count(meta.get("epoch")),
        "state_dict": isinstance(state, Mapping)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()),
        "optimizer": isinstance(content.get("optimizer"), Mapping),
        "scaler": isinstance(content.get("scaler"), Mapping),
    }
    if invalid := [name for name, fits in checks.items() if not fits]:
        raise CheckpointError(
            "the checkpoint to resume from must hold what dilo-train wrote, got other values in "
            f"{first_few(invalid)}: {_REMEDY}"
        )


def _require_fitting(optimizer: torch.optim.Optimizer) -> None:
    """Refuse an optimiser's state that torch takes up as it is, and steps with later."""
    for group in optimizer.param_groups:
        for name, default in optimizer.defaults.items():
            value = group.get(name, default)  # torch adds defaults that no group has
            if isinstance(default, float | int) and not isinstance(value, float | int | Tensor):
                raise ValueError(f"{name} of the optimiser is no number")
        for weight in group["params"]:
            for name, value in optimizer.state.get(weight, {}).items():
                of_shape = isinstance(value, Tensor) and value.shape in (weight.shape, ())
                if value is not None and not of_shape and not isinstance(value, float | int):
                    raise ValueError(f"{name} of the optimiser is not of its weight's shape")


def _is_step_count(value: object) -> bool:
    """Check whether a value is a number of steps that a run can have taken."""
    return type(value) is int and 0 <= value < _MOST_STEPS


def save_torch_file(path: Path, content: dict[str, Any], advice: str) -> None:
    """Write a file of torch.save, whole or not at all; `advice` ends the error if it cannot be."""
    try:
        with atomic_write(path) as part:
            torch.save(content, part)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter on a full disk
        number = system_errno(error)
        reason = f"{os.strerror(number)}: {REMEDIES[number]}" if number else str(error)
        raise CheckpointError(f"{path} cannot be written: {reason}: {advice}") from error


def require_exists(path: Path) -> Path:
    """Return the path of a checkpoint; refuse one that is not on the disk."""
    if not path.is_file():
        raise CheckpointError(
            f"{path} must be there, for this run wrote it, but it is gone: does another program "
            f"clean up {path.parent}? Run the same command to resume from what is left"
        )
    return path


def _set_aside(path: Path) -> Path:
    """Move a checkpoint that cannot be read to where it is neither counted nor overwritten."""
    folder = path.parent / DAMAGED
    folder.mkdir(exist_ok=True)
    target, number = folder / path.name, 1
    while os.path.lexists(target):
        number += 1
        target = folder / f"{path.stem}.{number}{path.suffix}"
    path.rename(target)
    return target


def list_checkpoints(run: Path) -> list[tuple[int, Path]]:
    """List the checkpoints of a run, the newest first."""
    folder = run / "checkpoints"
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        require_access(error, folder)
        raise
    matches = [(_NAME.match(name), folder / name) for name in names]
    return sorted(((int(match[1]), path) for match, path in matches if match), reverse=True)


def checkpoint_file(path: Path) -> Path:
    """Find the file that a path stands for: of a run, its newest checkpoint."""
    return newest_checkpoint(path) if path.is_dir() else path


def newest_checkpoint(run: Path) -> Path:
    """Find the checkpoint with the highest step in the folder of a run."""
    checkpoints = list_checkpoints(run)
    if not checkpoints:
        raise CheckpointError(
            f"{run} must be a checkpoint or the folder of a run, but there is no "
            f"{run / 'checkpoints' / 'step-*.pt'}: give the file itself, or train first"
        )
    return checkpoints[0][1]


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint that dilo-train wrote."""
    try:
        content = read(path)
    except CheckpointError as error:
        # A link to nothing: the disk that it leads to may come back.
        if isinstance(error.__cause__, FileNotFoundError):
            raise
        raise DamagedError(str(error)) from error
    if not isinstance(content, dict) or not isinstance(content.get("dilo"), dict):
        raise CheckpointError(f"{path} must be a checkpoint of dilo-train")
    version = content["dilo"].get("format")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} must have format {FORMAT_VERSION}, got {version!r}: "
            f"resume with the version of dilo that wrote it"
        )
    meta = content["dilo"]
    numbers = all(type(meta.get(name)) is int for name in ("step", "epoch"))
    if not numbers or not isinstance(meta.get("recipe"), dict):
        raise CheckpointError(
            f"{path} must say its step, its epoch and its recipe, as dilo-train writes them"
        )
    return content


def _require_no_records(run: Path) -> None:
    """Refuse to begin where the records of a run lie, which would be overwritten."""
    if records := [name for name in RECORDS if (run / name).exists()]:
        raise CheckpointError(
            f"--out {run} must be a new folder or hold checkpoints to resume from, got "
            f"{', '.join(records)} of a run and no {run / 'checkpoints' / 'step-*.pt'}: give "
            f"another --out, put the checkpoints back, or move the records away"
        )


def _set_aside_damaged(
    damaged: Sequence[tuple[Path, DamagedError]], path: Path, say: Callable[[str], None]
) -> None:
    """Move damaged files aside, so that they do not count as checkpoints, and log it."""
    for broken, error in damaged:
        say(f"{error}; set aside as {_set_aside(broken)}, and falling back to {path.name}")


def _all_damaged(run: Path, count: int, damaged: Sequence[tuple[Path, DamagedError]]) -> str:
    """Return the error that all steps would be lost, and what to do; nothing has been moved."""
    if len(damaged) == count:
        fault = f"none of its {count} checkpoints can be read"
    else:
        fault = f"of its {count} checkpoints, that of step 0 alone can be read"
    names = ", ".join(path.name for path, _ in damaged)
    return (
        f"--out {run}: {fault}, and the training would be lost: restore intact copies of {names}, "
        f"give another --out to start again, or move them away to start again here. The newest: "
        f"{damaged[0][1]}"
    )


def _plain(recipe: RunRecipe) -> dict[str, Any]:
    """Convert a recipe to plain values, as JSON and so a checkpoint holds them."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return plain
