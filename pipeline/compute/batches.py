"""A network's rows, several at a time: threads read ahead of a device and finish behind it."""

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.compute.failures import FailureRecorder
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.decoding import decode_content
from dilo.pipeline.store.maskrows import MaskRows

if TYPE_CHECKING:
    from dilo.pipeline.saliency.networkmasks import NetworkInput, NetworkMasks


@dataclass(frozen=True)
class Throughput:
    """How fast images were made."""

    #: How many.
    images: int = 0
    #: What they took, added up over the processes.
    seconds: float = 0.0
    #: Of these, how long the device had nothing to do.
    idle_seconds: float = 0.0

    def __add__(self, other: Self) -> Self:
        """Add up both."""
        return type(self)(
            self.images + other.images,
            self.seconds + other.seconds,
            self.idle_seconds + other.idle_seconds,
        )

    def report_line(self, method: str) -> str:
        """Format it as a line for people."""
        rate, waiting = self._rate(), 100 * self._waiting()
        pace = f"{method}: {rate:.1f} images/s per process"
        return f"{pace}, {waiting:.0f} % of the time waiting for data"

    def as_dict(self) -> dict[str, float | None]:
        """Return it for JSON; None where no image was made."""
        any_images = self.images > 0
        return {
            "images_per_second": self._rate() if any_images else None,
            "data_wait": self._waiting() if any_images else None,
        }

    def _rate(self) -> float:
        """Compute images a second; a clock may stand still."""
        return self.images / self.seconds if self.seconds else 0.0

    def _waiting(self) -> float:
        """Compute the share of the time that the device had nothing to do."""
        return self.idle_seconds / self.seconds if self.seconds else 0.0


#: Batches that are read ahead, and that may wait to be finished.
BATCHES_AHEAD = 2


@dataclass(frozen=True, eq=False)
class PendingImage:
    """An image on its way through a network."""

    #: What the network takes.
    prepared: "NetworkInput"
    #: Height and width of the image.
    shape: tuple[int, int]


#: The map that a network makes of an image, or why it makes none.
MapOrError: TypeAlias = NDArray[np.float32] | Exception


@dataclass(frozen=True)
class BatchProcessor:
    """Makes the rows of a shard by a network, several at a time; they come out as one by one."""

    #: The network.
    network: "NetworkMasks"
    #: To be filled in place.
    rows: MaskRows
    #: Their images, as the store's list has them.
    paths: Sequence[str]
    #: Images that the device takes at once. A batch that lacks some is filled up, for how a device
    #: computes hangs on the shape of a batch, and with it the last bit of what comes of an image.
    size: int
    #: Threads beside the device.
    threads: int
    #: Held while the device computes a batch: threads that build shards share it.
    lock: threading.Semaphore
    #: Batches that are given to the device at once: the copies of one run while another computes.
    in_flight: int = 1

    def process(self, row: int, content: bytes) -> None:
        """Make one row of the content of its image file."""
        image = self.prepare(content)
        self.finish(row, image, self.compute_batch([row], [image])[0])

    def prepare(self, content: bytes) -> PendingImage:
        """Make of a file what the device takes; for several threads at once."""
        pixels = decode_content(content)
        return PendingImage(self.network.prepare(pixels), (pixels.shape[0], pixels.shape[1]))

    def finish(self, row: int, image: PendingImage, outcome: MapOrError) -> None:
        """Fill a row by the map of its image, or fail; for several threads at once."""
        if isinstance(outcome, Exception):
            raise outcome
        side = self.rows.masks.shape[1]
        self.rows.masks[row] = self.network.finish(image.prepared, outcome, side)
        self.rows.shape[row] = image.shape

    def compute_batch(
        self, rows: Sequence[int], images: Sequence[PendingImage]
    ) -> list[MapOrError]:
        """Compute the maps of a batch; of one that fails, its halves, down to each image alone.

        If the network makes nothing of any image, even of a blank one, that is an error.
        """
        count = len(rows)
        padding = self.size - count
        maps = self._compute([*rows, *[rows[-1]] * padding], [*images, *[images[-1]] * padding])
        if isinstance(maps, Exception) and (padding or count > 1):
            maps = self._split_batch(rows, images)
        if isinstance(maps, Exception):
            maps = [maps]
        if all(isinstance(outcome, Exception) for outcome in maps[:count]):
            self._require_device(rows[0], images[0])
        return list(maps[:count])

    def _compute(
        self, rows: Sequence[int], images: Sequence[PendingImage]
    ) -> list[MapOrError] | Exception:
        """Compute a batch, or say why not. What a traceback holds of a full device is let go."""
        try:
            with self.lock:
                prepared = [image.prepared for image in images]
                return list(self.network.maps(prepared, [self.paths[row] for row in rows]))
        except DiloError:
            raise
        except Exception as error:
            return error.with_traceback(None)

    def _split_batch(self, rows: Sequence[int], images: Sequence[PendingImage]) -> list[MapOrError]:
        """Compute the halves of a batch, and theirs if need be."""
        halves = [slice(None, len(rows) // 2), slice(len(rows) // 2, None)]
        maps: list[MapOrError] = []
        for half in halves if len(rows) > 1 else [slice(None)]:
            half_maps = self._compute(rows[half], images[half])
            if isinstance(half_maps, Exception):
                single = len(rows[half]) == 1
                half_maps = [half_maps] if single else self._split_batch(rows[half], images[half])
            maps += half_maps
        return maps

    def _require_device(self, row: int, image: PendingImage) -> None:
        """Stop where it is not the images that the device cannot take, by a blank one."""
        pixels = np.zeros_like(image.prepared.pixels)
        blank = replace(image, prepared=replace(image.prepared, pixels=pixels))
        error = self._compute([row], [blank])
        if isinstance(error, Exception):
            advice = f"--batch less than {self.size}" if self.size > 1 else "fewer --workers"
            raise DiloError(
                f"the network failed for each image, and for a blank one: {type(error).__name__}: "
                f"{error}: give {advice} if memory ran out; finished shards are kept, and the same "
                f"command resumes"
            ) from error


def process_in_batches(
    recorder: FailureRecorder,
    batch: BatchProcessor,
    rows_to_do: Sequence[int],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Throughput:
    """Make some rows, in batches in their order, whatever the number of threads.

    What goes wrong with an image is its row's error; what no image is to blame for is raised.
    """
    start, computing = clock(), 0.0
    pool = ThreadPoolExecutor(batch.threads)
    finishing: deque[Future[None]] = deque()
    try:
        batches = _batches(pool, recorder, batch, rows_to_do)
        for rows, images, maps, seconds in _computed(batch, batches, clock):
            computing += seconds
            for row, image, outcome in zip(rows, images, maps, strict=True):
                finishing.append(pool.submit(recorder.run, row, batch.finish, row, image, outcome))
            while len(finishing) > BATCHES_AHEAD * batch.size:
                finishing.popleft().result()
        for future in finishing:
            future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    seconds = clock() - start
    return Throughput(len(rows_to_do), seconds, seconds - computing)


def _computed(
    batch: BatchProcessor,
    batches: Iterator[tuple[list[int], list[PendingImage]]],
    clock: Callable[[], float],
) -> Iterator[tuple[list[int], list[PendingImage], list[MapOrError], float]]:
    """Yield batches in order with their maps, and the seconds that the device took for them."""

    def compute(
        rows: list[int], images: list[PendingImage]
    ) -> tuple[list[MapOrError], float, float]:
        begin = clock()
        maps = batch.compute_batch(rows, images)
        return maps, begin, clock()

    if batch.in_flight == 1:  # in this thread, whose number of cores is set
        for rows, images in batches:
            maps, begin, end = compute(rows, images)
            yield rows, images, maps, end - begin
        return
    previous_end = -math.inf
    waiting: deque[tuple[list[int], list[PendingImage], Future[Any]]] = deque()
    with ThreadPoolExecutor(batch.in_flight) as device:
        for item in itertools.chain(batches, [None]):
            if item is not None:
                waiting.append((*item, device.submit(compute, *item)))
            while waiting and (item is None or len(waiting) >= batch.in_flight):
                rows, images, future = waiting.popleft()
                maps, begin, end = future.result()
                # Where two were there at once, the time of both counts once.
                yield rows, images, maps, max(0.0, end - max(begin, previous_end))
                previous_end = max(end, previous_end)


def _batches(
    pool: ThreadPoolExecutor,
    recorder: FailureRecorder,
    batch: BatchProcessor,
    rows_to_do: Sequence[int],
) -> Iterator[tuple[list[int], list[PendingImage]]]:
    """Read and prepare ahead, and yield full batches of what did not fail, in order."""

    def load(row: int) -> PendingImage | None:
        content = recorder.read(row)
        return None if content is None else recorder.run(row, batch.prepare, content)

    remaining = iter(rows_to_do)
    pending = deque(
        (row, pool.submit(load, row))
        for row in itertools.islice(remaining, BATCHES_AHEAD * batch.size + batch.threads)
    )
    rows: list[int] = []
    images: list[PendingImage] = []
    while pending:
        row, future = pending.popleft()
        image = future.result()
        pending.extend((row, pool.submit(load, row)) for row in itertools.islice(remaining, 1))
        if image is not None:
            rows.append(row)
            images.append(image)
        if rows and (len(rows) == batch.size or not pending):
            yield rows, images
            rows, images = [], []
