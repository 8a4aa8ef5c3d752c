"""The training loop: batches to losses, a record and checkpoints, on from wherever it stopped."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dilo.pipeline.atomic import write_text
from dilo.pipeline.errors import RecipeError
from dilo.pipeline.progress import Progress
from dilo.train import checkpoint, ranks
from dilo.train.backgrounds import Bank, Stores
from dilo.train.batches import Batches, loader
from dilo.train.checkpoint import Learner, Position
from dilo.train.crops import compile_ahead
from dilo.train.data import Source, Views
from dilo.train.interruption import Interruption
from dilo.train.machine import Machine
from dilo.train.optimizers import make_optimizer
from dilo.train.prefetch import Arrived, prefetched
from dilo.train.recipe import Recipe
from dilo.train.record import describe
from dilo.train.resuming import resume
from dilo.train.schedule import learning_rate, rate_words
from dilo.train.step import Stepper, prepare
from dilo.train.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended.

    Attributes
    ----------
    step : int
        Optimiser steps taken in all.
    steps : int
        Steps of the whole recipe.
    checkpoint : Path
        The last checkpoint.
    loss : float
        Of the last step recorded; NaN if none was left to take.
    unreadable : int
        Samples of this process replaced because their image could not be read, since the last
        start.
    signal : str
        What asked the run to stop; empty if nothing did.
    """

    step: int
    steps: int
    checkpoint: Path
    loss: float
    unreadable: int
    signal: str = ""


def train(
    recipe: Recipe,
    source: Source,
    run: Path,
    machine: Machine,
    say: Callable[[str], None],
    *,
    backgrounds: Stores | None = None,
) -> Result:
    """Train by a recipe, from the beginning or from the run's newest checkpoint.

    Under torchrun, every rank calls it with the same arguments.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    source : Source
        Images and masks.
    run : Path
        Folder of the run: checkpoints/, metrics.jsonl, recipe.toml, run.json, state.
    machine : Machine
        Where to do it.
    say : callable
        Told in words what happens, on rank 0.
    backgrounds : mapping of int to BackgroundStore, optional
        What the recipe pastes on, but gray and noise.

    Returns
    -------
    Result
        How it ended.

    Raises
    ------
    DiloError
        If the run cannot go on from its checkpoints, the data or the number of ranks does not
        serve, the device has no room for the backgrounds, or the loss is no number.
    """
    with ranks.joined(machine.device) as device, Interruption() as interruption:
        machine = dataclasses.replace(machine, device=device)
        say = say if ranks.rank() == 0 else ranks.silence
        return _Session(recipe, source, run, machine, say, backgrounds or {}, interruption).run()


def _require_shares(recipe: Recipe, machine: Machine) -> None:
    """Refuse ranks and parts among which the batch-norm groups cannot be dealt."""
    shares, groups = ranks.size() * machine.parts, recipe.model.bn_groups
    if groups > 1 and groups % shares:
        raise RecipeError(
            f"model.bn_groups must be 1 or a multiple of {ranks.size()} ranks times --accumulate "
            f"{machine.parts}, got {groups}: --set model.bn_groups={shares}, or use fewer"
        )


def _name(machine: Machine) -> str:
    """Name the device as a reader of run.json knows it."""
    if machine.device.type == "cuda":
        return torch.cuda.get_device_name(machine.device)
    return machine.device.type


class _Session:
    """One process's share of a run: from a start, or a resume, to an end."""

    def __init__(
        self,
        recipe: Recipe,
        source: Source,
        run: Path,
        machine: Machine,
        say: Callable[[str], None],
        stores: Stores,
        interruption: Interruption,
    ) -> None:
        _require_shares(recipe, machine)
        self.recipe, self.source, self.folder, self.machine = recipe, source, run, machine
        self.say, self.interruption = say, interruption
        bank = Bank(recipe, stores, machine.device)
        method, self.wanted = prepare(recipe, source, machine.device)
        optimizer = make_optimizer(method, recipe.optimizer)
        self.data = Position(
            step=0,
            epoch=0,
            images=source.names.digest(),
            masks=source.store.fingerprint if source.store else "",
            backgrounds=" ".join(stores[kind].fingerprint for kind in sorted(stores)),
        )
        self.steps_per_epoch = Batches(source.usable, recipe, 0, machine.parts).steps_per_epoch
        self.steps = self.steps_per_epoch * recipe.optimizer.epochs
        self.stepper = Stepper(recipe, machine, method, optimizer, bank)
        self.learner = Learner(method, optimizer, self.stepper.scaler)
        self.watch = Watch(source, recipe, run, machine, say)
        self.step = 0

    def run(self) -> Result:
        """Go on from the newest checkpoint, take the steps that are left, and say how it ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        signal = self._take() if self.step < self.steps else ""
        word = "preempted" if signal else "done" if self.step == self.steps else "stopped"
        self._state(word)
        return Result(
            step=self.step,
            steps=self.steps,
            checkpoint=checkpoint.checkpoint_path(self.folder, self.step),
            loss=self.watch.loss,
            unreadable=self.watch.unreadable,
            signal=signal,
        )

    def _resume(self) -> None:
        """Take up the newest checkpoint, or write that of the beginning; describe the run."""
        position = resume(
            self.folder, self.learner, self.recipe, self.data, self.say, self.machine.resume
        )
        self.step = position.step if position else 0
        if ranks.rank() == 0:
            describe(self.folder, self.recipe, self._facts())
        if position is None:
            self._save()
        elif position.step:
            self.say(f"going on from step {self.step} of {self.steps}")
        self.say(rate_words(self.recipe.optimizer))
        self._state("running")

    def _facts(self) -> dict[str, Any]:
        """Tell what a reader of run.json needs besides the recipe."""
        return {
            "step": self.step,
            "steps": self.steps,
            "images": len(self.source.usable),
            "never_pasted": self.source.never_pasted,
            "data": self.data.data(),
            "device": _name(self.machine),
            "world_size": ranks.size(),
            "precision": self.machine.precision,
        }

    def _state(self, word: str) -> None:
        """Leave the state of the run where a script finds it."""
        if ranks.rank() == 0:
            write_text(self.folder / "state", word + "\n")

    def _take(self) -> str:
        """Take the steps that are left; name the signal that stopped them, if one did."""
        compile_ahead(self.say)
        self.learner.method.train()
        begin = saved = time.monotonic()
        start, images = self.step, self.recipe.optimizer.batch
        with contextlib.ExitStack() as stack:
            self.watch.open(stack, start)
            if not start:
                self.watch.read_out(self.learner.method, 0, 0)
            bar = stack.enter_context(Progress((self.steps - start) * images, "images", self.say))
            for parts in stack.enter_context(contextlib.closing(self._parts())):
                self._step(parts, first=self.step == start)
                bar.advance(images, f"step {self.step}, loss {self.watch.loss:.4f}")
                now = time.monotonic()
                late = now - begin > 60 * self.machine.max_minutes
                due = now - saved > 60 * self.machine.checkpoint_minutes
                came, late, due = ranks.any_of([bool(self.interruption.came), late, due])
                if self.step % self.steps_per_epoch == 0 or due or late or came:
                    self._keep()
                    saved = time.monotonic()
                if came and self.step < self.steps:
                    return self.interruption.came or "on another rank"
                if late:
                    break
        return ""

    def _parts(self) -> Generator[list[Arrived]]:
        """Load this rank's share of each batch that is left, part by part."""
        stream: Any = loader(
            Views(self.source, self.recipe, self.wanted),
            Batches(self.source.usable, self.recipe, self.step, self.machine.parts),
            workers=self.machine.workers,
            pin=self.machine.device.type == "cuda",
        )
        with contextlib.closing(prefetched(stream, self.machine.device)) as arriving:
            while parts := list(itertools.islice(arriving, self.machine.parts)):
                yield parts

    def _step(self, parts: list[Arrived], *, first: bool) -> None:
        """Take one optimiser step, and record it if it is its turn."""
        epoch = self.step // self.steps_per_epoch
        rate = learning_rate(self.recipe.optimizer, self.step, self.steps_per_epoch)
        batches = [arrived.batch for arrived in parts]
        output = self.stepper.take(batches, step=self.step, epoch=epoch, rate=rate)
        self.step += 1
        self.watch.count(parts, output.loss)
        if self.step % self.machine.log_every == 0 or first or self.step == self.steps:
            self.watch.record(output, step=self.step, epoch=epoch, rate=rate)

    def _keep(self) -> None:
        """Save; after every so many epochs, read out before, or a kill would lose that line."""
        every = self.machine.knn_every * self.steps_per_epoch
        if every and self.step % every == 0:
            epoch = self.step // self.steps_per_epoch
            self.watch.read_out(self.learner.method, self.step, epoch)
        with self.watch.meter.paused():
            self._save()

    def _save(self) -> None:
        """Write a checkpoint of this very step, once it is known to be sound."""
        self.watch.require_finite(self.step, self.learner.optimizer.param_groups[0]["lr"])
        position = self.data.at(self.step, self.step // self.steps_per_epoch)
        keep = self.machine.keep_every * self.steps_per_epoch
        ranks.decide(lambda: self._write(position, keep))

    def _write(self, position: Position, keep: int) -> None:
        """Write the checkpoint that all ranks hold."""
        checkpoint.save(self.folder, self.learner, self.recipe, position, keep_every=keep)
