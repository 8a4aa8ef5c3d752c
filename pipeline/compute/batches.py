"""Rows made several at a time: threads read ahead of a device and finish behind it."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

from dilo.pipeline.compute.failures import Attempts
from dilo.pipeline.errors import DiloError


@dataclass(frozen=True)
class Pace:
    """How fast images were made.

    Attributes
    ----------
    images : int
        How many.
    seconds : float
        What they took, added up over the processes.
    waited : float
        Of these, how long the device had nothing to do.
    """

    images: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def __add__(self, other: Self) -> Self:
        """Take both together."""
        return type(self)(
            self.images + other.images, self.seconds + other.seconds, self.waited + other.waited
        )

    def words(self, method: str) -> str:
        """Say it in a line.

        Parameters
        ----------
        method : str
            What made the masks.

        Returns
        -------
        str
            Images a second, and how much of the time was lost.
        """
        rate, waiting = self._rate(), 100 * self._waiting()
        return (
            f"{method}: {rate:.1f} images/s a process, {waiting:.0f} % of the time waiting for data"
        )

    def record(self) -> dict[str, float | None]:
        """Say it for machines.

        Returns
        -------
        dict
            Ready for JSON; None where no image was made.
        """
        made = self.images > 0
        return {
            "images_per_second": self._rate() if made else None,
            "data_wait": self._waiting() if made else None,
        }

    def _rate(self) -> float:
        """Divide; a clock may stand still."""
        return self.images / self.seconds if self.seconds else 0.0

    def _waiting(self) -> float:
        """Tell the share of the time."""
        return self.waited / self.seconds if self.seconds else 0.0


#: Batches that are read ahead, and that may wait to be finished.
AHEAD = 2


@dataclass(frozen=True)
class Batching:
    """How rows are made several at a time.

    Attributes
    ----------
    size : int
        Rows that the device takes at once. A batch that lacks some is filled up, for how a device
        computes hangs on the shape of a batch, and with it the last bit of what comes of an image.
    threads : int
        Threads beside it.
    prepare : callable
        From a row and the content of its file to what the device takes; for several threads
        at once.
    compute : callable
        From some rows, and what was prepared for them, to what the device makes of each.
    finish : callable
        Fills a row, from what was prepared and what the device made of it; for several threads
        at once.
    blank : callable
        Makes of what was prepared something of its shape that any device can take.
    """

    size: int
    threads: int
    prepare: Callable[[int, bytes], Any]
    compute: Callable[[Sequence[int], Sequence[Any]], Sequence[Any]]
    finish: Callable[[int, Any, Any], None]
    blank: Callable[[Any], Any]

    def fill(self, row: int, content: bytes) -> None:
        """Make one row.

        Parameters
        ----------
        row : int
            Row in the shard.
        content : bytes
            Its image file.
        """
        prepared = self.prepare(row, content)
        self.finish(row, prepared, self.found([row], [prepared])[0])

    def found(self, rows: Sequence[int], prepared: Sequence[Any]) -> list[Any]:
        """Compute a batch; of one that fails, its halves, down to each image alone.

        Parameters
        ----------
        rows : sequence of int
            Rows in the shard, at most `size` of them.
        prepared : sequence
            What was prepared for them.

        Returns
        -------
        list
            What the device made of each, or an Exception.

        Raises
        ------
        DiloError
            If it makes nothing of any image, even of a blank one.
        """
        count = len(rows)
        lacking = self.size - count
        found = self._computed(
            [*rows, *[rows[-1]] * lacking], [*prepared, *[prepared[-1]] * lacking]
        )
        if isinstance(found, Exception) and (lacking or count > 1):
            found = self._halved(rows, prepared)
        if isinstance(found, Exception):
            found = [found]
        if all(isinstance(each, Exception) for each in found[:count]):
            self._require_device(rows[0], self.blank(prepared[0]))
        return list(found[:count])

    def _computed(self, rows: Sequence[int], prepared: Sequence[Any]) -> Sequence[Any] | Exception:
        """Compute a batch, or say why not. What a traceback holds of a full device is let go."""
        try:
            return self.compute(rows, prepared)
        except DiloError:
            raise
        except Exception as error:
            return error.with_traceback(None)

    def _halved(self, rows: Sequence[int], prepared: Sequence[Any]) -> list[Any]:
        """Compute the halves of a batch, and theirs if need be."""
        halves = [slice(None, len(rows) // 2), slice(len(rows) // 2, None)]
        found: list[Any] = []
        for half in halves if len(rows) > 1 else [slice(None)]:
            some = self._computed(rows[half], prepared[half])
            if isinstance(some, Exception):
                alone = len(rows[half]) == 1
                some = [some] if alone else self._halved(rows[half], prepared[half])
            found += some
        return found

    def _require_device(self, row: int, blank: Any) -> None:
        """Stop where it is not the images that the device cannot take."""
        error = self._computed([row], [blank])
        if isinstance(error, Exception):
            less = f"--batch less than {self.size}" if self.size > 1 else "fewer --jobs"
            raise DiloError(
                f"the network failed for each image, and for a blank one: {type(error).__name__}: "
                f"{error}: give {less} if memory ran out; finished shards are kept, and the same "
                f"command goes on"
            ) from error


def make_batched(
    attempts: Attempts,
    batching: Batching,
    todo: Sequence[int],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Pace:
    """Make some rows, in batches in their order, whatever the number of threads.

    Parameters
    ----------
    attempts : Attempts
        The rows; what goes wrong with an image is its row's error.
    batching : Batching
        How they are made.
    todo : sequence of int
        Which.
    clock : callable
        Seconds.

    Returns
    -------
    Pace
        How fast it was.

    Raises
    ------
    DiloError
        If no image is at fault.
    """
    start, computing = clock(), 0.0
    pool = ThreadPoolExecutor(batching.threads)
    finishing: deque[Future[None]] = deque()
    try:
        for batch in _batches(pool, attempts, batching, todo):
            rows, prepared = [row for row, _ in batch], [ready for _, ready in batch]
            began = clock()
            found = batching.found(rows, prepared)
            computing += clock() - began
            for row, ready, made in zip(rows, prepared, found, strict=True):
                finishing.append(
                    pool.submit(attempts.part, row, _finish, batching, row, ready, made)
                )
            while len(finishing) > AHEAD * batching.size:
                finishing.popleft().result()
        for future in finishing:
            future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    seconds = clock() - start
    return Pace(len(todo), seconds, seconds - computing)


def _batches(
    pool: ThreadPoolExecutor, attempts: Attempts, batching: Batching, todo: Sequence[int]
) -> Iterator[list[tuple[int, Any]]]:
    """Read and prepare ahead, and give full batches of what did not fail, in order."""

    def ready(row: int) -> Any:
        content = attempts.content(row)
        return None if content is None else attempts.part(row, batching.prepare, row, content)

    left = iter(todo)
    coming = deque(
        (row, pool.submit(ready, row))
        for row in itertools.islice(left, AHEAD * batching.size + batching.threads)
    )
    batch: list[tuple[int, Any]] = []
    while coming:
        row, future = coming.popleft()
        prepared = future.result()
        coming.extend((row, pool.submit(ready, row)) for row in itertools.islice(left, 1))
        if prepared is not None:
            batch.append((row, prepared))
        if batch and (len(batch) == batching.size or not coming):
            yield batch
            batch = []


def _finish(batching: Batching, row: int, prepared: Any, made: Any) -> None:
    """Fill a row with what the device made of it, unless that is an error."""
    if isinstance(made, Exception):
        raise made
    batching.finish(row, prepared, made)
