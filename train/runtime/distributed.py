"""The processes that train together: who they are, and what they tell each other.

On a single process, every function is the identity.
"""

import contextlib
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NoReturn, TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from dilo.pipeline.errors import DiloError
from dilo.train.runtime.launch import launch_number, launched_ranks

Value = TypeVar("Value")

#: Longer than rank 0 may take to write a checkpoint to a slow disk while the others wait.
TIMEOUT = timedelta(hours=1)
#: How a process ends that could not continue, as all programs here do.
EXIT_FAILED = 3


@contextlib.contextmanager
def init_process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that torchrun, or a batch system with its variables set, started.

    Without RANK and WORLD_SIZE in the environment, or where torch.distributed is set up
    already, nothing is done. Where one process fails, the others end with its message.

    Parameters
    ----------
    device : torch.device
        Kind of device to compute on.

    Yields
    ------
    torch.device
        The one of this process: of several GPUs, that of LOCAL_RANK.

    Raises
    ------
    DiloError
        If there is no GPU for this process, or another process failed.
    """
    if launched_ranks() == 1 or distributed.is_initialized():
        yield local_device(device)
        return
    device = local_device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # What the CPUs tell each other, whether to stop, waits for no GPU.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=TIMEOUT)
    watch = FailureWatch()
    try:
        yield device
        any_rank([False])  # nobody leaves before all are done: one may keep the store
    # The group is not left after an error: NCCL would wait for the others, who wait for this one.
    except BaseException as error:
        watch.stop()
        if message := watch.share(error):
            raise DiloError(message) from error
        raise
    watch.stop()
    distributed.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """Choose the device of this process: of several GPUs, that of LOCAL_RANK.

    Parameters
    ----------
    device : torch.device
        Kind of device to compute on.

    Returns
    -------
    torch.device
        The same where there is one process, or no GPU.

    Raises
    ------
    DiloError
        If LOCAL_RANK is missing, or there are fewer GPUs.
    """
    if launched_ranks() == 1 or device != torch.device("cuda"):
        return device
    index, count = launch_number("LOCAL_RANK", -1), torch.cuda.device_count()
    if index < 0:
        raise DiloError(
            "several processes on GPUs need LOCAL_RANK, the number of each on its machine, got "
            "none: set it, or start them with torchrun"
        )
    if index >= count:
        raise DiloError(
            f"LOCAL_RANK {index} needs {index + 1} GPUs that this process sees, got {count}: start "
            f"as many processes as there are GPUs (torchrun --nproc-per-node), and let each "
            f"process see all of them (Slurm: --gpus-per-node, not --gpus-per-task)"
        )
    return torch.device("cuda", index)


class FailureWatch:
    """Tells the other processes why this one fails, and ends it when another has failed.

    A thread looks at the store by which the processes found each other, for the main thread may
    be waiting in a collective that nobody joins.
    """

    #: Under which the first that fails leaves its message.
    KEY = "dilo-failure"
    #: Seconds between two looks, and until this process is ended, for it may end by itself.
    SECONDS, PATIENCE = 1.0, 3.0

    def __init__(self) -> None:
        # A connection of its own: while one thread waits on the store, no other can use it.
        self._store: Any = distributed.distributed_c10d._get_default_store().clone()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="failures", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def share(self, error: BaseException) -> str:
        """Leave the message of an error for the others; return theirs, of which it is a result."""
        message = f"rank {distributed.get_rank()}: {str(error) or type(error).__name__}"
        own = isinstance(error, DiloError | KeyboardInterrupt)
        try:
            # The first stays: those that follow from it say less.
            first = self._store.compare_set(self.KEY, "", message).decode()
        except RuntimeError:
            return "" if own else _STORE_GONE
        if distributed.get_rank() == 0:
            time.sleep(2 * self.SECONDS)  # it may keep the store: the others look first
        return "" if own or first == message else _FAILED.format(first)

    def _watch(self) -> None:
        """End this process when another has failed."""
        while not self._ended.wait(self.SECONDS):
            message = self._look()
            if message and not self._ended.wait(self.PATIENCE):
                sys.stderr.write(f"Error: {message}\n")
                leave(EXIT_FAILED)

    def _look(self) -> str:
        """Return the message of another process that failed; nothing if none did."""
        try:
            if self._store.check([self.KEY]):
                return _FAILED.format(self._store.get(self.KEY).decode())
        except RuntimeError:
            return _STORE_GONE
        return ""


_FAILED = "another process of this training failed, {}"
_STORE_GONE = "rank 0 of this training, or its launcher, ended: its own output says why"


def leave(status: int) -> NoReturn:
    """End this process at once, its workers too, waiting for no other and no device."""
    for process in multiprocessing.active_children():
        process.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def any_rank(flags: Sequence[bool]) -> list[bool]:
    """Check for each of some flags whether it is set on any rank.

    Parameters
    ----------
    flags : sequence of bool
        The flags of this rank, as many on all.

    Returns
    -------
    list of bool
        The same on all.
    """
    if world_size() == 1:
        return list(flags)
    maxima = torch.tensor(flags, dtype=torch.uint8, device=_message_device())
    distributed.all_reduce(maxima, distributed.ReduceOp.MAX)
    return [bool(flag) for flag in maxima.tolist()]


def on_rank_zero(function: Callable[[], Value]) -> Value:
    """Call a function on rank 0, and share its result; an error there is raised on all.

    Parameters
    ----------
    function : callable
        Called on rank 0 alone.

    Returns
    -------
    value
        What it returned, on all.
    """
    if world_size() == 1:
        return function()
    outcome: list[Any] = [None, None]
    if rank() == 0:
        try:
            outcome[0] = function()
        except Exception as error:  # raised again below, on every rank
            outcome[1] = error
    distributed.broadcast_object_list(outcome, device=_message_device())
    if outcome[1] is not None:
        raise outcome[1]
    return cast(Value, outcome[0])


def gather_values(value: Value) -> list[Value]:
    """Share a plain value of each rank with all others.

    Parameters
    ----------
    value : value
        Of this rank; whatever pickle writes.

    Returns
    -------
    list
        One a rank, in their order; the same on all.
    """
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def _message_device() -> torch.device:
    """Choose where messages lie: on the CPU, but in a group of NCCL alone that a user has made."""
    return torch.device("cpu" if "cpu:" in distributed.get_backend_config() else "cuda")


def world_size() -> int:
    """Count the processes.

    Returns
    -------
    int
        1 without torch.distributed.
    """
    return distributed.get_world_size() if distributed.is_initialized() else 1


def on_gpus() -> bool:
    """Check whether the processes compute on GPUs.

    Returns
    -------
    bool
        False without torch.distributed.
    """
    return distributed.is_initialized() and "nccl" in distributed.get_backend_config()


def rank() -> int:
    """Return the number of this process.

    Returns
    -------
    int
        0 without torch.distributed.
    """
    return distributed.get_rank() if distributed.is_initialized() else 0


def no_log(line: str) -> None:
    """Log nothing: rank 0 does.

    Parameters
    ----------
    line : str
        Words for people.
    """


def local_part(values: Tensor) -> Tensor:
    """Return this rank's part of values that all ranks have.

    Parameters
    ----------
    values : Tensor of shape (B, ...)
        The same on all ranks; their number divides B.

    Returns
    -------
    Tensor of shape (B / ranks, ...)
        Consecutive rows.
    """
    return values.chunk(world_size())[rank()]


@torch.no_grad()
def all_gather(values: Tensor) -> Tensor:
    """Gather the rows of all ranks, without gradient.

    Parameters
    ----------
    values : Tensor of shape (b, ...)
        Of this rank; of one shape on all.

    Returns
    -------
    Tensor of shape (b * ranks, ...)
        In the order of the ranks; the same on all. Channels that lie together still do.
    """
    if world_size() == 1:
        return values
    last = values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last)
    rows = values.permute(0, 2, 3, 1) if last else values.contiguous()
    everyone = rows.new_empty(world_size() * len(rows), *rows.shape[1:])
    distributed.all_gather(list(everyone.chunk(world_size())), rows)
    return everyone.permute(0, 3, 1, 2) if last else everyone


def all_gather_with_grad(values: Tensor) -> Tensor:
    """Gather the rows of all ranks, each rank's gradient flowing back to where it came from.

    Parameters
    ----------
    values : Tensor of shape (b, ...)
        Of this rank; of one shape on all.

    Returns
    -------
    Tensor of shape (b * ranks, ...)
        In the order of the ranks. The gradient of a row is the sum of what all ranks have
        for it, as if their losses were added.
    """
    if world_size() == 1:
        return values
    return cast(Tensor, _Gather.apply(values))


class _Gather(torch.autograd.Function):
    """All-gather forwards; all-reduce and this rank's part backwards."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return all_gather(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        distributed.all_reduce(gradient)
        return local_part(gradient)


@torch.no_grad()
def all_reduce_mean(values: Tensor) -> Tensor:
    """Average over the ranks.

    Parameters
    ----------
    values : Tensor
        Of this rank; of one shape on all.

    Returns
    -------
    Tensor
        Their mean, on all.
    """
    if world_size() == 1:
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total / world_size()


@torch.no_grad()
def average_running_statistics(network: nn.Module) -> None:
    """Set the batch-norm statistics of all ranks to their mean, in place.

    Done each step, it makes them those of one device that normalises in as many groups, and
    any rank's network the one to save.

    Parameters
    ----------
    network : Module
        The same on all ranks but for these statistics.
    """
    if world_size() == 1:
        return
    statistics = [
        buffer
        for name, buffer in network.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    ]
    if statistics:
        means = all_reduce_mean(torch.cat([buffer.flatten() for buffer in statistics]))
        sizes = [buffer.numel() for buffer in statistics]
        torch._foreach_copy_(statistics, list(torch.split(means, sizes)))
