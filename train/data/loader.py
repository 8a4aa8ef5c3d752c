"""The batches of a run in their order, the loader that reads ahead, and their way to the device."""

import atexit
import contextlib
import functools
import itertools
import multiprocessing
import resource
import signal
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from dilo.pipeline.errors import DiloError
from dilo.train.data.dataset import collate
from dilo.train.data.draws import sample_order
from dilo.train.recipes.recipe import RunRecipe
from dilo.train.runtime import distributed
from dilo.train.runtime.devices import move
from dilo.train.runtime.signals import SIGNALS, ignore_stop_signals

#: Files that a process may have open which reads batches, or makes them, and more for each worker.
HANDLES, HANDLES_OF_A_WORKER = 256, 8
#: What may wait, loaded, for its step: bytes of all workers, unless one batch each is more; and
#: batches of a worker, of which more would not help.
BYTES_AHEAD, BATCHES_AHEAD = 2_000_000_000, 4


class BatchSampler(Sampler[list[tuple[int, int]]]):
    """The share of this rank in the batches of a run from a step on, one stream over its epochs.

    A batch is the same whatever the number of ranks and of parts: part p of P holds the p-th
    run of B / P samples, and of a part, rank r of R holds the r-th run of B / P / R.

    Parameters
    ----------
    indices : ndarray of shape (M,), int64
        Positions of the images to train on.
    recipe : RunRecipe
        Seed, batch size, number of epochs.
    start : int
        Steps already taken.
    parts : int, default 1
        Parts of a batch, whose gradients are accumulated.

    Raises
    ------
    DiloError
        If there are fewer images than a batch holds, or ranks and parts do not divide it.
    """

    def __init__(
        self, indices: NDArray[np.int64], recipe: RunRecipe, start: int, parts: int = 1
    ) -> None:
        batch = recipe.optimizer.batch
        if len(indices) < batch:
            raise DiloError(
                f"a batch needs at least optimizer.batch = {batch} images, got {len(indices)}: "
                f"--set optimizer.batch={len(indices)} or less"
            )
        if batch % (parts * distributed.world_size()):
            raise DiloError(
                f"optimizer.batch must be a multiple of {distributed.world_size()} ranks times "
                f"--accumulate {parts}, got {batch}"
            )
        self._indices, self._recipe, self._start, self._parts = indices, recipe, start, parts
        self.steps_per_epoch = len(indices) // batch

    def __len__(self) -> int:
        return (self.steps_per_epoch * self._recipe.optimizer.epochs - self._start) * self._parts

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        batch = self._recipe.optimizer.batch
        per_rank = batch // self._parts // distributed.world_size()
        epoch, step = divmod(self._start, self.steps_per_epoch)
        for current in range(epoch, self._recipe.optimizer.epochs):
            order = self._indices[sample_order(self._recipe.seed, current, len(self._indices))]
            for first in range(step * batch, self.steps_per_epoch * batch, batch // self._parts):
                begin = first + distributed.rank() * per_rank
                yield [(current, int(index)) for index in order[begin : begin + per_rank]]
            step = 0


class ErrorsAsValues(Dataset[Any]):
    """Samples; an error that a user can mend is handed over as one, for its words to stay its own.

    Raised in a worker, it would come out of the loader with a traceback for its words.

    Parameters
    ----------
    samples : Dataset
        Of a length, or asked by a sampler of batches.
    """

    def __init__(self, samples: Dataset[Any]) -> None:
        self._samples: Any = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, key: Any) -> Any:
        """Return a sample, or the error in its place."""
        try:
            return self._samples[key]
        except DiloError as error:
            return error.with_traceback(None)


def collate_or_error(collate_fn: Callable[[Any], Any], samples: Sequence[Any]) -> Any:
    """Make a batch of samples that were `ErrorsAsValues`."""
    for sample in samples:
        if isinstance(sample, DiloError):
            return sample
    return collate_fn(samples)


def require_handles(workers: int) -> None:
    """Let this process, and the workers that it will start, open as many files as they will."""
    needed = (HANDLES + HANDLES_OF_A_WORKER * workers) if workers else 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise DiloError(
            f"{workers} workers need {needed} open files, got a limit of {hard}: raise it with "
            f"ulimit -n {max(needed, 4096)}, or give fewer --workers; 0 need none"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def sample_bytes(side: int, *, views: int = 1, masked: float = 1.0) -> int:
    """Estimate the bytes of a sample: its views, and the masks of a share of them."""
    return round(views * (3 + masked) * side**2)


def prefetch_factor(workers: int, batch_bytes: int) -> int:
    """Return how many batches each worker may load ahead, by what all of them hold together."""
    return max(1, min(BATCHES_AHEAD, BYTES_AHEAD // max(1, workers * batch_bytes)))


class _Loader(DataLoader[Any]):
    """A loader whose workers no signal reaches, not even while they start."""

    def __iter__(self) -> Any:
        """Start the workers with signals held back, which they inherit."""
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def in_order(positions: Sequence[int], size: int) -> list[list[int]]:
    """Split positions into batches, in their order."""
    return [list(positions[first : first + size]) for first in range(0, len(positions), size)]


def make_loader(
    samples: Dataset[Any],
    batches: Iterable[list[Any]],
    *,
    workers: int,
    pin: bool,
    collate_fn: Callable[[Any], Any] = collate,
    prefetch_factor: int = BATCHES_AHEAD,
) -> DataLoader[Any]:
    """Make a loader that reads batches ahead, of training and of evaluations alike."""
    require_handles(workers)
    return _Loader(
        ErrorsAsValues(samples),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=functools.partial(collate_or_error, collate_fn),
        pin_memory=pin,
        worker_init_fn=start_worker,
        prefetch_factor=prefetch_factor if workers else None,
        # Else each would take a number from torch's own, which a network may draw from.
        generator=torch.Generator(),
    )


@atexit.register
def _end_workers() -> None:
    """End workers that an error still holds: they outlive signals, and would be waited for."""
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


def start_worker(worker: int) -> None:
    """Keep OpenCV from starting a thread a core in every worker, and signals from ending it."""
    cv2.setNumThreads(0)
    ignore_stop_signals()


BatchT = TypeVar("BatchT")

#: What of a batch the device takes; draws and counts are read on the CPU, and stay there.
COPIED = ("images", "masks", "samples", "labels")


class Prefetched(NamedTuple, Generic[BatchT]):
    """A batch that a step can start on."""

    #: What is to be on the device there, the rest on the CPU.
    batch: BatchT
    #: Seconds that this process was blocked in the loader to get it.
    wait_seconds: float


def prefetch_to_device(
    batches: Iterable[BatchT], device: torch.device, copied: Sequence[str] = COPIED
) -> Generator[Prefetched[BatchT], None, None]:
    """Bring what is `copied` of a loader's batches to a GPU, one batch ahead of the step."""
    loading = iter(batches)
    try:
        if device.type == "cuda":
            yield from _copy_ahead(loading, device, copied)
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


def read_through(batches: Iterable[BatchT]) -> Generator[BatchT, None, None]:
    """Yield the batches of a loader on the CPU, one by one."""
    with contextlib.closing(prefetch_to_device(batches, torch.device("cpu"))) as prefetched:
        for item in prefetched:
            yield item.batch


def micro_batches(
    batches: Iterator[Prefetched[BatchT]], parts: int
) -> Generator[list[Prefetched[BatchT]], None, None]:
    """Group the parts of each batch."""
    while group := list(itertools.islice(batches, parts)):
        yield group


def _timed(loading: Iterator[BatchT]) -> Iterator[Prefetched[BatchT]]:
    """Yield each batch with the time that it took to come."""
    while True:
        begin = time.perf_counter()
        batch = next(loading, None)
        if batch is None:
            return
        if isinstance(batch, DiloError):
            raise batch
        yield Prefetched(batch, time.perf_counter() - begin)


def _copy_ahead(
    loading: Iterator[BatchT], device: torch.device, copied: Sequence[str]
) -> Iterator[Prefetched[BatchT]]:
    """Start the copy of the next batch before this one is handed over.

    So it runs beside the step even where the step ends in waiting for the device, as one whose
    loss is recorded does.
    """
    copying: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    copies = _copies(loading, device, copied, copying)
    following = next(copies, None)
    while following is not None:
        computing = torch.cuda.current_stream(device)
        # For the copies so far, so before the next one starts.
        computing.wait_stream(copying)
        for name in copied:
            # Their memory is the copying stream's, which else would write the next batch into
            # it as soon as Python has let go of this one, still computed or not.
            getattr(following.batch, name).record_stream(computing)
        current, following = following, next(copies, None)
        yield current


def _copies(
    loading: Iterator[Any],
    device: torch.device,
    copied: Sequence[str],
    copying: torch.cuda.Stream,
) -> Iterator[Prefetched[Any]]:
    """Start copies on a stream, without waiting for them."""
    for batch, wait_seconds in _timed(loading):
        with torch.cuda.stream(copying):
            moved: dict[str, Any] = {name: move(getattr(batch, name), device) for name in copied}
        yield Prefetched(batch._replace(**moved), wait_seconds)
