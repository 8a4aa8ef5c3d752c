"""Batches on their way to the device: the next is copied while the current one is computed."""

import contextlib
import itertools
import time
import traceback
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from dilo.pipeline.errors import DiloError
from dilo.train.devices import move

Taken = TypeVar("Taken")

#: What of a batch the device takes; draws and counts are read on the CPU, and stay there.
COPIED = ("images", "masks", "samples", "labels")


class Arrived(NamedTuple, Generic[Taken]):
    """A batch that a step can start on.

    Attributes
    ----------
    batch : NamedTuple
        What is to be on the device there, the rest on the CPU.
    waited : float
        Seconds that this process was blocked in the loader to get it.
    """

    batch: Taken
    waited: float


def prefetched(
    batches: Iterable[Taken], device: torch.device, copied: Sequence[str] = COPIED
) -> Generator[Arrived[Taken], None, None]:
    """Bring the batches of a loader to the device, those of a GPU one ahead of the step.

    Parameters
    ----------
    batches : iterable of NamedTuple
        Named tuples of tensors, on the CPU; for a GPU in pinned memory, or they are pinned
        here first.
    device : torch.device
        Where to. On a CPU they stay what they are, and each is taken when it is asked for.
    copied : sequence of str, optional
        Which of a batch's fields the device takes; those of a `Batch` unless given.

    Yields
    ------
    Arrived
        In the same order, to be used on the stream that is current when it is asked for.
        Closing the generator closes the loader's iterator, which ends its workers.

    Raises
    ------
    DiloError
        If the loader gives one for a batch.
    """
    loading = iter(batches)
    try:
        if device.type == "cuda":
            yield from _ahead(loading, device, copied)
        else:
            yield from _timed(loading)
    except BaseException as error:
        # What the error remembers would keep the iterator, whose workers outlive all signals: at
        # its end, the program would wait for them for ever.
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        # The iterator of a DataLoader has no close(): it ends with the last reference to it.
        close = getattr(loading, "close", None)
        if close is not None:
            close()
        del loading, close


def read_through(batches: Iterable[Taken]) -> Generator[Taken, None, None]:
    """Give the batches of a loader on the CPU, one by one.

    Parameters
    ----------
    batches : iterable
        A loader.

    Yields
    ------
    object
        What it gives. Closing the generator ends the loader's workers.

    Raises
    ------
    DiloError
        If the loader gives one for a batch.
    """
    with contextlib.closing(prefetched(batches, torch.device("cpu"))) as arriving:
        for arrived in arriving:
            yield arrived.batch


def grouped(
    arriving: Iterator[Arrived[Taken]], parts: int
) -> Generator[list[Arrived[Taken]], None, None]:
    """Put the parts of each batch together.

    Parameters
    ----------
    arriving : iterator of Arrived
        Part by part.
    parts : int
        Parts of a batch.

    Yields
    ------
    list of Arrived
        The parts of a batch.
    """
    while found := list(itertools.islice(arriving, parts)):
        yield found


def _timed(loading: Iterator[Taken]) -> Iterator[Arrived[Taken]]:
    """Take a batch when it is asked for, and say how long that took."""
    while True:
        begin = time.perf_counter()
        batch = next(loading, None)
        if batch is None:
            return
        if isinstance(batch, DiloError):
            raise batch
        yield Arrived(batch, time.perf_counter() - begin)


def _ahead(
    loading: Iterator[Taken], device: torch.device, copied: Sequence[str]
) -> Iterator[Arrived[Taken]]:
    """Start the copy of the next batch before this one is handed over.

    So it runs beside the step even where the step ends in waiting for the device, as one whose
    loss is recorded does.
    """
    copying: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    copies = _copies(loading, device, copied, copying)
    arriving = next(copies, None)
    while arriving is not None:
        computing = torch.cuda.current_stream(device)
        # For the copies so far, so before the next one starts.
        computing.wait_stream(copying)
        for name in copied:
            # Their memory is the copying stream's, which else would write the next batch into
            # it as soon as Python has let go of this one, still computed or not.
            getattr(arriving.batch, name).record_stream(computing)
        arrived, arriving = arriving, next(copies, None)
        yield arrived


def _copies(
    loading: Iterator[Any], device: torch.device, copied: Sequence[str], copying: torch.cuda.Stream
) -> Iterator[Arrived[Any]]:
    """Start copies on a stream, without waiting for them."""
    for batch, waited in _timed(loading):
        with torch.cuda.stream(copying):
            moved: dict[str, Any] = {name: move(getattr(batch, name), device) for name in copied}
        yield Arrived(batch._replace(**moved), waited)
