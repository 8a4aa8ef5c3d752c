"""What is seen of a run while it trains: its record, its read-outs, losses that are no numbers."""

import contextlib
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from dilo.pipeline.errors import DiloError
from dilo.train import ranks
from dilo.train.machine import Machine
from dilo.train.method import StepOutput
from dilo.train.parameters import Parameters
from dilo.train.prefetch import Arrived
from dilo.train.record import Meter, Record
from dilo.train.tensorboard import Board


class Counted(Protocol):
    """What is counted of any batch."""

    @property
    def samples(self) -> Tensor:
        """Give one number a sample of this rank."""

    @property
    def unreadable(self) -> Tensor:
        """Count those that could not be read and were replaced, in shape ()."""

    @property
    def parameters(self) -> Parameters:
        """Give the draws, of which those of pastes are counted."""

    @property
    def skipped(self) -> Tensor:
        """Count those drawn to be pasted that are not, in shape ()."""


Batch = TypeVar("Batch", bound=Counted)


class Watch:
    """The eyes on a run, on all ranks; what they see, rank 0 writes down.

    Parameters
    ----------
    run : Path
        Folder of the run.
    machine : Machine
        What to write.
    say : callable
        Told of read-outs.

    Attributes
    ----------
    loss : float
        Recorded last; NaN before.
    unreadable : int
        Samples of this process replaced because their image could not be read.
    meter : Meter
        Speed, waiting and pastes since the last line.
    """

    def __init__(self, run: Path, machine: Machine, say: Callable[[str], None]) -> None:
        self._run, self._machine, self._say = run, machine, say
        self.loss, self.unreadable, self.meter = math.nan, 0, Meter()
        self._writers: list[Record | Board] = []
        self._losses: list[Tensor] = []
        self._last: dict[str, Any] = {}

    def open(self, stack: contextlib.ExitStack, step: int) -> None:
        """Open what rank 0 writes to, and begin to measure.

        Parameters
        ----------
        stack : ExitStack
            Closes it.
        step : int
            Step that the run goes on from.
        """
        self._writers.clear()
        if ranks.rank() == 0:
            self._writers.append(Record(self._run, step))
            if self._machine.tensorboard:
                self._writers.append(Board(self._run, step))
        for writer in self._writers:
            stack.enter_context(contextlib.closing(writer))
        self.meter = Meter()

    def count(self, parts: Iterable[Arrived[Batch]], loss: Tensor) -> None:
        """Count a step: of all ranks' images, but this one's views.

        Parameters
        ----------
        parts : iterable of Arrived
            Its batches.
        loss : Tensor of shape ()
            On the device, where it is left until somebody asks.
        """
        self._losses.append(loss)
        for arrived in parts:
            batch = arrived.batch
            self.unreadable += int(batch.unreadable.item())
            images = len(batch.samples) * ranks.size()
            pastes = batch.parameters.paste
            counts = len(pastes), int(pastes.sum().item()), int(batch.skipped.item())
            self.meter.batch(images, arrived.waited, *counts)

    def record(self, output: StepOutput, *, step: int, epoch: int, rate: float) -> None:
        """Write a line of a step; reading its numbers waits for the device.

        Parameters
        ----------
        output : StepOutput
            Of this rank; its mean over the ranks is written.
        step, epoch : int
            Steps taken, and the epoch that this one is of.
        rate : float
            Its learning rate.

        Raises
        ------
        DiloError
            If a loss since the last look is no number.
        """
        values = ranks.mean(torch.stack([output.loss, *output.scalars.values()])).tolist()
        self.loss = values[0]
        line = {"step": step, "epoch": epoch, "loss": self.loss, "lr": rate}
        line |= dict(zip(output.scalars, values[1:], strict=True)) | self.meter.line()
        self._write(line)
        self.require_finite(step, rate)
        self._last = line

    def _write(self, line: dict[str, Any]) -> None:
        """Write a line, on rank 0."""
        for writer in self._writers:
            writer.add(line)

    def require_finite(self, step: int, rate: float) -> None:
        """Stop at the first loss since the last look that is no number, on any rank.

        Parameters
        ----------
        step : int
            Steps taken.
        rate : float
            Learning rate of the last.

        Raises
        ------
        DiloError
            With the step, the rate and the line recorded last.
        """
        if not self._losses:
            return
        losses = ranks.mean(torch.stack(self._losses))
        first = step - len(self._losses) + 1
        self._losses.clear()
        wrong = (~losses.isfinite()).nonzero().flatten().tolist()
        if wrong:
            last = ", ".join(f"{name} {value:g}" for name, value in self._last.items())
            raise DiloError(
                f"the loss must stay a number, got {losses[wrong[0]].item()} at step "
                f"{first + wrong[0]} with learning rate {rate:g} (recorded last: "
                f"{last or 'nothing since the start'}): the checkpoints before are kept; "
                f"try a lower optimizer.lr"
            )

    def read_out(
        self, look: Callable[[], dict[str, Any]], words: Callable[[dict[str, Any]], str]
    ) -> None:
        """Look at the network, on all ranks, and write down and say what is found.

        Parameters
        ----------
        look : callable
            Makes a line of the record; its time is no time of training. What it raises, as
            `Abandoned`, leaves no line.
        words : callable
            Says the line for people.
        """
        with self.meter.paused():
            line = look()
        self._write(line)
        self._say(words(line))
