"""Batches on their way to the device: the next is copied while the current one is computed."""

import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

import torch

from dilo.train.data import Batch
from dilo.train.devices import move

#: What of a batch the device takes; draws and counts are read on the CPU, and stay there.
COPIED = ("images", "masks", "samples", "labels")


class Arrived(NamedTuple):
    """A batch that a step can start on.

    Attributes
    ----------
    batch : Batch
        `images`, `masks`, `samples` and `labels` on the device, the rest on the CPU.
    waited : float
        Seconds that this process was blocked in the loader to get it.
    """

    batch: Batch
    waited: float


def prefetched(batches: Iterable[Batch], device: torch.device) -> Generator[Arrived, None, None]:
    """Bring the batches of a loader to the device, those of a GPU one ahead of the step.

    Parameters
    ----------
    batches : iterable of Batch
        On the CPU; for a GPU in pinned memory, or they are pinned here first.
    device : torch.device
        Where to. On a CPU they stay what they are, and each is taken when it is asked for.

    Yields
    ------
    Arrived
        In the same order, to be used on the stream that is current when it is asked for.
        Closing the generator closes the loader's iterator, which ends its workers.
    """
    loading = iter(batches)
    try:
        if device.type == "cuda":
            yield from _ahead(loading, device)
        else:
            yield from _timed(loading)
    finally:
        # The iterator of a DataLoader has no close(): it ends with the last reference to it.
        close = getattr(loading, "close", None)
        if close is not None:
            close()


def _timed(loading: Iterator[Batch]) -> Iterator[Arrived]:
    """Take a batch when it is asked for, and say how long that took."""
    while True:
        begin = time.perf_counter()
        batch = next(loading, None)
        if batch is None:
            return
        yield Arrived(batch, time.perf_counter() - begin)


def _ahead(loading: Iterator[Batch], device: torch.device) -> Iterator[Arrived]:
    """Start the copy of the next batch before this one is handed over.

    So it runs beside the step even where the step ends in waiting for the device, as one whose
    loss is recorded does.
    """
    copying: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    copies = _copies(loading, device, copying)
    arriving = next(copies, None)
    while arriving is not None:
        computing = torch.cuda.current_stream(device)
        # For the copies so far, so before the next one starts.
        computing.wait_stream(copying)
        for name in COPIED:
            # Their memory is the copying stream's, which else would write the next batch into
            # it as soon as Python has let go of this one, still computed or not.
            getattr(arriving.batch, name).record_stream(computing)
        arrived, arriving = arriving, next(copies, None)
        yield arrived


def _copies(
    loading: Iterator[Batch], device: torch.device, copying: torch.cuda.Stream
) -> Iterator[Arrived]:
    """Start copies on a stream, without waiting for them."""
    for batch, waited in _timed(loading):
        with torch.cuda.stream(copying):
            moved: dict[str, Any] = {name: move(getattr(batch, name), device) for name in COPIED}
        yield Arrived(batch._replace(**moved), waited)
