"""One process's share of any run: from a start, or a resume, through its steps, to an end."""

import contextlib
import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from dilo.pipeline.common.compiled import CACHE
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import DiloError
from dilo.train.data.crop import compile_ahead
from dilo.train.data.loader import Arrived, require_handles
from dilo.train.engine import checkpoint
from dilo.train.engine.checkpoint import Learns, Standing, resume
from dilo.train.engine.claim import Claim, claimed
from dilo.train.methods.base import Learning, StepOutput
from dilo.train.monitor.metrics import Batch, Watch, has_read_out, require_package
from dilo.train.monitor.run_info import describe, note_failure
from dilo.train.recipes.saliency_recipe import RunRecipe
from dilo.train.runtime import distributed
from dilo.train.runtime.devices import DTYPES
from dilo.train.runtime.options import Machine
from dilo.train.runtime.signals import Abandoned, Interruption


class Descent:
    """What learns, its optimiser, and how this machine takes a step with them.

    Parameters
    ----------
    machine : Machine
        Device, precision, whether to compile.
    learning : Learning
        On the device.
    optimizer : Optimizer
        Of its parameters.

    Attributes
    ----------
    scaler : GradScaler
        Of float16's gradients; does nothing in other precisions.
    """

    def __init__(
        self, machine: Machine, learning: Learning, optimizer: torch.optim.Optimizer
    ) -> None:
        self.machine, self.learning, self.optimizer = machine, learning, optimizer
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.precision == "fp16")
        if machine.compile:
            keep_kernels()
            for network in learning.children():
                network.compile()  # in place: wrapped, its parameters would change their names
        self._module: nn.Module = learning
        if distributed.size() > 1:
            with warnings.catch_warnings():
                # Its new name is not known to the oldest torch that serves.
                warnings.filterwarnings("ignore", "`broadcast_buffers` is dep", FutureWarning)
                # Memory and statistics are kept the same by what is written to them.
                self._module = DistributedDataParallel(learning, broadcast_buffers=False)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate.

        Parameters
        ----------
        rate : float
            Of the next step.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def learn(self, batches: Iterable[object], parts: int) -> StepOutput:
        """Take a step on what lies on the device, at the rate that is set.

        Parameters
        ----------
        batches : iterable
            What the learning takes, part by part.
        parts : int
            How many.

        Returns
        -------
        StepOutput
            Means over the parts of loss and scalars, of this rank, on the device.
        """
        self.learning.begin_step()
        self.optimizer.zero_grad(set_to_none=True)
        outputs = [
            self._backward(batch, parts, last=part == parts - 1)
            for part, batch in enumerate(batches)
        ]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.learning.end_step()
        distributed.average_running_statistics(self.learning)
        return _mean(outputs)

    def _backward(self, batch: object, parts: int, *, last: bool) -> StepOutput:
        """Add the gradients of one part; between ranks they are exchanged with the last one."""
        module: Any = self._module
        hold = isinstance(module, DistributedDataParallel) and not last
        with module.no_sync() if hold else contextlib.nullcontext():
            dtype = DTYPES[self.machine.precision]
            half = dtype is not torch.float32
            with torch.autocast(self.machine.device.type, dtype, enabled=half):
                output: StepOutput = module(batch)
            scaled: Any = self.scaler.scale(output.loss / parts)
            scaled.backward()
        return StepOutput(output.loss.detach(), output.scalars)


def _mean(outputs: Sequence[StepOutput]) -> StepOutput:
    """Average what the parts of a batch came to."""
    if len(outputs) == 1:
        return outputs[0]
    return StepOutput(
        torch.stack([output.loss for output in outputs]).mean(),
        {
            name: torch.stack([output.scalars[name] for output in outputs]).mean()
            for name in outputs[0].scalars
        },
    )


def keep_kernels() -> None:
    """Let torch.compile keep its kernels where ours are kept, unless the user says where.

    Torch's own folder has a name that anybody on the machine could take first, and what lies in
    it is run.
    """
    if CACHE.folder is not None:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(CACHE.folder / "torchinductor"))


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
        self._claim: Claim | None = None
        require_handles(machine.workers)
        if machine.tensorboard:
            require_package()

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

        Raises
        ------
        Abandoned
            If `give_way` did.
        """

    def end(self) -> None:
        """Do what is due, on rank 0, once all steps are taken; nothing, unless a class does."""

    def run(self) -> Result:
        """Go on from the newest checkpoint, take the steps that are left, and say how it ended.

        Returns
        -------
        Result
            How it ended.

        Raises
        ------
        DiloError
            If another training lives in the folder, the run cannot go on, or it fails. Where it
            had begun, its state is "failed" then, and run.json says why.
        """
        with claimed(self.folder, self.say, self.interruption) as self._claim:
            position = resume(
                self.folder, self.learner, self.recipe, self.data, self.say, self.machine.resume
            )
            try:
                return self._go_on(position)
            except BaseException as error:
                self._fail(error)
                raise

    def give_way(self) -> None:
        """Let a signal end what can be done again; all ranks call it as often.

        Raises
        ------
        Abandoned
            If a signal came, on any rank.
        """
        if any(distributed.any_of([bool(self.interruption.came)])):
            raise Abandoned

    def _go_on(self, position: Standing | None) -> Result:
        """Train from where the run stands."""
        self._begin(position)
        signal = self._take()
        if self.step == self.steps and not signal:
            distributed.decide(self.end)
        path = checkpoint.checkpoint_path(self.folder, self.step)
        distributed.decide(lambda: checkpoint.require_there(path))
        self._state("preempted" if signal else "done" if self.step == self.steps else "stopped")
        return Result(
            step=self.step,
            steps=self.steps,
            checkpoint=path,
            loss=self.watch.loss,
            unreadable=self.watch.unreadable,
            signal=signal,
        )

    def _begin(self, position: Standing | None) -> None:
        """Write the checkpoint of the beginning, if this is one, and then what describes the run.

        In this order: records without a checkpoint would be those of a run that lost its own.
        """
        self.step = position.step if position else 0
        if position is None:
            self._save()
        elif position.step:
            self.say(f"going on from step {self.step} of {self.steps}")
        if distributed.rank() == 0:
            describe(self.folder, self.recipe, self._facts())
        self.say(self.rate_words())
        self._state("running")

    def _fail(self, error: BaseException) -> None:
        """Leave word that the run failed, and why; nothing of one that is another's by now."""
        with contextlib.suppress(OSError, DiloError):
            if (
                distributed.rank() == 0
                and self._claim is not None
                and checkpoint.steps(self.folder)
            ):
                self._claim.require()
                write_text(self.folder / "state", "failed\n")
                note_failure(self.folder, error)

    def _facts(self) -> dict[str, Any]:
        """Tell what a reader of run.json needs besides the recipe."""
        return {
            "step": self.step,
            "steps": self.steps,
            **self.facts(),
            "data": self.data.data(),
            "device": _name(self.machine),
            "world_size": distributed.size(),
            "precision": self.machine.precision,
        }

    def _state(self, word: str) -> None:
        """Leave the state of the run where a script finds it."""
        if distributed.rank() == 0:
            write_text(self.folder / "state", word + "\n")

    def _take(self) -> str:
        """Take the steps that are left; name the signal that stopped them, if one did."""
        owed = self._is_read_out() and not distributed.decide(
            lambda: has_read_out(self.folder, self.step)
        )
        if self.step == self.steps and not owed:
            return ""
        compile_ahead(self.say)
        begin = saved = time.monotonic()
        start, images = self.step, self.recipe.optimizer.batch
        with contextlib.ExitStack() as stack:
            self.watch.open(stack, start)
            signal = self._look() if owed else ""
            if signal or start == self.steps:
                return signal
            bar = stack.enter_context(Progress((self.steps - start) * images, "images", self.say))
            for parts in stack.enter_context(contextlib.closing(self.parts())):
                self._step(parts, first=self.step == start)
                bar.advance(images, f"step {self.step}, loss {self.watch.loss:.4f}")
                now = time.monotonic()
                late = now - begin > 60 * self.machine.max_minutes
                due = now - saved > 60 * self.machine.checkpoint_minutes
                came, late, due = distributed.any_of([bool(self.interruption.came), late, due])
                if self.step % self.steps_per_epoch == 0 or due or late or came:
                    with self.watch.meter.paused():
                        self._save()
                    saved = time.monotonic()
                # After the checkpoint: a kill loses nothing, and the next start reads out first.
                if self._is_read_out() and (signal := self._look()):
                    return signal
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

    def _is_read_out(self) -> bool:
        """Tell whether a read-out is due at this step."""
        every = self.read_out_every * self.steps_per_epoch
        return bool(every) and self.step % every == 0

    def _look(self) -> str:
        """Read out; name the signal, if one came and the read-out was given up."""
        try:
            self.read_out(self.step // self.steps_per_epoch)
        except Abandoned:
            return self.interruption.came or "on another rank"
        return ""

    def _save(self) -> None:
        """Write a checkpoint of this very step, once it is known to be sound."""
        self.watch.require_finite(self.step, self.learner.optimizer.param_groups[0]["lr"])
        position = self.data.at(self.step, self.step // self.steps_per_epoch)
        keep = self.machine.keep_every * self.steps_per_epoch
        distributed.decide(lambda: self._write(position, keep))

    def _write(self, position: Standing, keep: int) -> None:
        """Write the checkpoint that all ranks hold, if the run is still this one's."""
        if self._claim is not None:
            self._claim.require()
        checkpoint.save(self.folder, self.learner, self.recipe, position, keep_every=keep)


def _name(machine: Machine) -> str:
    """Name the device as a reader of run.json knows it."""
    if machine.device.type == "cuda":
        return torch.cuda.get_device_name(machine.device)
    return machine.device.type
