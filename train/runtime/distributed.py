"""The processes that train together: who they are, and what they tell each other.

On a single process, every function is the identity.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn

Value = TypeVar("Value")

#: Longer than rank 0 may take to write a checkpoint to a slow disk while the others wait.
TIMEOUT = timedelta(hours=1)


@contextlib.contextmanager
def init_process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that torchrun, or a batch system with its variables set, started.

    Without RANK and WORLD_SIZE in the environment, or where torch.distributed is set up
    already, nothing is done.

    Parameters
    ----------
    device : torch.device
        Kind of device to compute on.

    Yields
    ------
    torch.device
        The one of this process: of several GPUs, that of LOCAL_RANK.
    """
    together = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized()
    if together and device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if together:
        # What the CPUs tell each other, whether to stop, waits for no GPU.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield device
    finally:
        if together:
            distributed.destroy_process_group()


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
    maxima = torch.tensor(flags, dtype=torch.uint8)
    distributed.all_reduce(maxima, distributed.ReduceOp.MAX)
    return [bool(flag) for flag in maxima]


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
    distributed.broadcast_object_list(outcome, device=torch.device("cpu"))
    if outcome[1] is not None:
        raise outcome[1]
    return cast(Value, outcome[0])


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
        for buffer, values in zip(statistics, torch.split(means, sizes), strict=True):
            buffer.copy_(values.view_as(buffer))
