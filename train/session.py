"""One process's share of any run: from a start, or a resume, through its steps, to an end."""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from dilo.pipeline.atomic import write_text
from dilo.pipeline.progress import Progress
from dilo.train import checkpoint, ranks
from dilo.train.checkpoint import Learns, Standing
from dilo.train.crops import compile_ahead
from dilo.train.interruption import Interruption
from dilo.train.machine import Machine
from dilo.train.method import StepOutput
from dilo.train.prefetch import Arrived
from dilo.train.record import describe
from dilo.train.resuming import resume
from dilo.train.sections import RunRecipe
from dilo.train.watch import Batch, Watch

Asked = TypeVar("Asked", bound=RunRecipe)


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


class Session(ABC, Generic[Asked, Batch]):
    """One process's share of a run; what is trained, and on what, a class derived from it says.

    Parameters
    ----------
    recipe : RunRecipe
        What to do.
    run : Path
        Folder of the run.
    machine : Machine
        Where to do it.
    say : callable
        Told in words what happens.
    interruption : Interruption
        Open; tells whether to stop.
    learner : Learns
        As built from the recipe.
    data : Standing
        What the run stands on.
    steps_per_epoch : int
        Steps of an epoch.

    Attributes
    ----------
    step : int
        Optimiser steps taken.
    steps : int
        Those of the whole recipe.
    read_out_every : int
        Epochs from one read-out to the next; 0 for none.
    """

    read_out_every: int = 0

    def __init__(
        self,
        recipe: Asked,
        run: Path,
        machine: Machine,
        say: Callable[[str], None],
        interruption: Interruption,
        *,
        learner: Learns,
        data: Standing,
        steps_per_epoch: int,
    ) -> None:
        self.recipe, self.folder, self.machine, self.say = recipe, run, machine, say
        self.interruption, self.learner, self.data = interruption, learner, data
        self.steps_per_epoch = steps_per_epoch
        self.steps = steps_per_epoch * recipe.optimizer.epochs
        self.watch = Watch(run, machine, say)
        self.step = 0

    @abstractmethod
    def parts(self) -> Generator[list[Arrived[Batch]]]:
        """Load this rank's share of each batch that is left.

        Yields
        ------
        list of Arrived
            The parts of a batch.
        """

    @abstractmethod
    def take(self, batches: list[Batch], epoch: int) -> tuple[StepOutput, float]:
        """Take an optimiser step.

        Parameters
        ----------
        batches : list
            The parts of a batch.
        epoch : int
            Whole epochs taken before.

        Returns
        -------
        output : StepOutput
            What it came to.
        rate : float
            Its learning rate.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Tell a reader of run.json what is trained on what.

        Returns
        -------
        dict
            Plain values.
        """

    @abstractmethod
    def rate_words(self) -> str:
        """Say where the learning rate comes from.

        Returns
        -------
        str
            For the log.
        """

    def read_out(self, epoch: int) -> None:
        """Look at the network as it stands; nothing, unless a class does.

        Parameters
        ----------
        epoch : int
            Whole epochs taken.
        """

    def end(self) -> None:
        """Do what is due, on rank 0, once all steps are taken; nothing, unless a class does."""

    def run(self) -> Result:
        """Go on from the newest checkpoint, take the steps that are left, and say how it ended.

        Returns
        -------
        Result
            How it ended.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        signal = self._take() if self.step < self.steps else ""
        if self.step == self.steps:
            ranks.decide(self.end)
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
        self.say(self.rate_words())
        self._state("running")

    def _facts(self) -> dict[str, Any]:
        """Tell what a reader of run.json needs besides the recipe."""
        return {
            "step": self.step,
            "steps": self.steps,
            **self.facts(),
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
        begin = saved = time.monotonic()
        start, images = self.step, self.recipe.optimizer.batch
        with contextlib.ExitStack() as stack:
            self.watch.open(stack, start)
            if not start and self.read_out_every:
                self.read_out(0)
            bar = stack.enter_context(Progress((self.steps - start) * images, "images", self.say))
            for parts in stack.enter_context(contextlib.closing(self.parts())):
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

    def _step(self, parts: list[Arrived[Batch]], *, first: bool) -> None:
        """Take one optimiser step, and record it if it is its turn."""
        epoch = self.step // self.steps_per_epoch
        output, rate = self.take([arrived.batch for arrived in parts], epoch)
        self.step += 1
        self.watch.count(parts, output.loss)
        if self.step % self.machine.log_every == 0 or first or self.step == self.steps:
            self.watch.record(output, step=self.step, epoch=epoch, rate=rate)

    def _keep(self) -> None:
        """Save; after every so many epochs, read out before, or a kill would lose that line."""
        every = self.read_out_every * self.steps_per_epoch
        if every and self.step % every == 0:
            self.read_out(self.step // self.steps_per_epoch)
        with self.watch.meter.paused():
            self._save()

    def _save(self) -> None:
        """Write a checkpoint of this very step, once it is known to be sound."""
        self.watch.require_finite(self.step, self.learner.optimizer.param_groups[0]["lr"])
        position = self.data.at(self.step, self.step // self.steps_per_epoch)
        keep = self.machine.keep_every * self.steps_per_epoch
        ranks.decide(lambda: self._write(position, keep))

    def _write(self, position: Standing, keep: int) -> None:
        """Write the checkpoint that all ranks hold."""
        checkpoint.save(self.folder, self.learner, self.recipe, position, keep_every=keep)


def _name(machine: Machine) -> str:
    """Name the device as a reader of run.json knows it."""
    if machine.device.type == "cuda":
        return torch.cuda.get_device_name(machine.device)
    return machine.device.type
