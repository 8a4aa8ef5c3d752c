"""One optimiser step of whatever learns: losses of parts, their gradients added, new weights."""

import contextlib
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from dilo.pipeline.common.compiled import CACHE
from dilo.train import ranks
from dilo.train.devices import DTYPES
from dilo.train.machine import Machine
from dilo.train.method import Learning, StepOutput


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
        if ranks.size() > 1:
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
        ranks.average_running_statistics(self.learning)
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
