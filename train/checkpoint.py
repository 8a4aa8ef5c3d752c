"""Checkpoints: all that resuming needs, published whole, kept with a fallback."""

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import torch

from dilo.pipeline.atomic import published
from dilo.pipeline.errors import CheckpointError
from dilo.train.method import Method
from dilo.train.reading import read
from dilo.train.sections import Plain, RunRecipe

#: Version of what stands under "dilo" in a checkpoint.
FORMAT_VERSION = 1
#: The MoCo repository saves a network wrapped for many devices; its tools expect the prefix.
PREFIX = "module."
#: Checkpoints kept: the newest, and one to fall back to.
KEPT = 2

_NAME = re.compile(r"^step-(\d{8})\.pt$")


class Standing(Plain, Protocol):
    """Where any run stands, and on what: plain values, kept in its checkpoints."""

    @property
    def step(self) -> int:
        """Optimiser steps taken."""

    @property
    def epoch(self) -> int:
        """Whole epochs among them."""

    def at(self, step: int, epoch: int) -> Self:
        """Stand elsewhere, on the same data."""

    def data(self) -> dict[str, str]:
        """Name what the run stands on."""


class Learns(Protocol):
    """Whatever learns: it gives its state, and takes one up."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What takes its steps."""

    def content(self) -> dict[str, Any]:
        """Give the state, tensors and plain values, with the weights as `state_dict`."""

    def restore(self, content: dict[str, Any]) -> None:
        """Take up a state."""


@dataclass(frozen=True)
class Position:
    """Where a run stands, and on what.

    Attributes
    ----------
    step : int
        Optimiser steps taken.
    epoch : int
        Whole epochs among them.
    images : str
        Digest of the list of images.
    masks : str
        Fingerprint of the store of masks; empty without one.
    backgrounds : str, default ""
        Fingerprints of the stores of backgrounds, in the order of their kinds.
    """

    step: int
    epoch: int
    images: str
    masks: str
    backgrounds: str = ""

    def at(self, step: int, epoch: int) -> Self:
        """Stand elsewhere, on the same data.

        Parameters
        ----------
        step, epoch : int
            Where.

        Returns
        -------
        Position
            There.
        """
        return dataclasses.replace(self, step=step, epoch=epoch)

    def data(self) -> dict[str, str]:
        """Name what the run stands on.

        Returns
        -------
        dict of str to str
            All but where it stands.
        """
        return {name: getattr(self, name) for name in ("images", "masks", "backgrounds")}


def checkpoint_path(run: Path, step: int) -> Path:
    """Name the checkpoint of a step.

    Parameters
    ----------
    run : Path
        Folder of the run.
    step : int
        Optimiser steps taken.

    Returns
    -------
    Path
        ``RUN/checkpoints/step-00000000.pt`` and so on.
    """
    return run / "checkpoints" / f"step-{step:08d}.pt"


@dataclass(frozen=True)
class Learner:
    """What learns, and so what a checkpoint must hold.

    Attributes
    ----------
    method : Method
        Networks and memory.
    optimizer : Optimizer
        Its momentum.
    scaler : GradScaler
        Its scale, where gradients are float16.
    """

    method: Method
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    def content(self) -> dict[str, Any]:
        """Give the state.

        Returns
        -------
        dict
            `state_dict` and `optimizer` as the MoCo repository saves them, and `scaler`.
        """
        state = {PREFIX + name: value for name, value in self.method.state_dict().items()}
        optimizer, scaler = self.optimizer.state_dict(), self.scaler.state_dict()
        return {"state_dict": state, "optimizer": optimizer, "scaler": scaler}

    def restore(self, content: dict[str, Any]) -> None:
        """Take up a state.

        Parameters
        ----------
        content : dict
            As `content` gives it.
        """
        state = {k.removeprefix(PREFIX): v for k, v in content["state_dict"].items()}
        self.method.load_state_dict(state)
        self.optimizer.load_state_dict(content["optimizer"])
        if content["scaler"]:
            self.scaler.load_state_dict(content["scaler"])


def save(
    run: Path, learner: Learns, recipe: RunRecipe, position: Standing, *, keep_every: int = 0
) -> Path:
    """Publish a checkpoint and remove those that are no longer needed.

    The newest two stay, and that of step 0, the network before training.

    Parameters
    ----------
    run : Path
        Folder of the run.
    learner : Learns
        Networks, memory, optimiser.
    recipe : RunRecipe
        Of the run.
    position : Standing
        Where it stands.
    keep_every : int, default 0
        Those of every so many steps stay too; 0 for none.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CheckpointError
        If it cannot be written.
    """
    path = checkpoint_path(run, position.step)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "epoch": position.epoch,
        "arch": recipe.model.arch,
        **learner.content(),
        "dilo": {
            "format": FORMAT_VERSION,
            **dataclasses.asdict(position),
            "recipe": json.loads(json.dumps(dataclasses.asdict(recipe))),
        },
    }
    try:
        with published(path) as part:
            torch.save(content, part)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter on a full disk
        raise CheckpointError(
            f"{path} cannot be written: {error}: the checkpoints before are kept; make room "
            f"and give the same command to go on"
        ) from error
    for step, old in steps(run)[KEPT:]:
        if step % keep_every if keep_every else step:
            old.unlink(missing_ok=True)
    return path


def steps(run: Path) -> list[tuple[int, Path]]:
    """List the checkpoints of a run, the newest first.

    Parameters
    ----------
    run : Path
        Folder of the run.

    Returns
    -------
    list of (int, Path)
        Step and file.
    """
    found = ((_NAME.match(p.name), p) for p in (run / "checkpoints").glob("step-*.pt"))
    return sorted(((int(m[1]), path) for m, path in found if m), reverse=True)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint that dilo-train wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        As `save` wrote it, on the CPU.

    Raises
    ------
    CheckpointError
        If `read` refuses it, or it is not dilo-train's, or of another format.
    """
    content = read(path)
    if not isinstance(content, dict) or not isinstance(content.get("dilo"), dict):
        raise CheckpointError(f"{path} must be a checkpoint of dilo-train")
    version = content["dilo"].get("format")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} must have format {FORMAT_VERSION}, got {version!r}: "
            f"go on with the version of dilo that wrote it"
        )
    return content
