"""A sample of images that are to do, timed and weighed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from dilo.pipeline.compute.failures import FailureRecorder, Unread, refuse
from dilo.pipeline.compute.shard import ShardOpener, process_rows
from dilo.pipeline.compute.worker import single_threaded
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.source import ImageSource
from dilo.pipeline.store.maskrows import MaskRows, compressed_size
from dilo.pipeline.store.plan import Plan

#: Images of a sample: as many as these seconds allow, within these bounds.
TARGET_SECONDS, MIN_IMAGES, MAX_IMAGES = 5.0, 8, 64
#: Bytes of a row without mask and path: HDF5's index of chunks, and the columns.
ROW_BYTES = 86


@dataclass(frozen=True)
class Sample:
    """What some images took."""

    #: How many.
    images: int
    #: For all of them, from file to compressed row, in one process.
    seconds: float
    #: Of all their rows.
    bytes: int
    #: Path and reason of each that has no mask.
    failed: dict[str, str]

    @property
    def seconds_each(self) -> float:
        """Return the seconds that an image takes, in one process; 0 of an empty sample."""
        return self.seconds / max(1, self.images)

    @property
    def bytes_each(self) -> float:
        """Return the bytes of a row; 0 of an empty sample."""
        return self.bytes / max(1, self.images)


def spread_rows(plan: Plan, shards: Sequence[int], limit: int = MAX_IMAGES) -> list[int]:
    """Choose rows that lie evenly over some shards, shuffled: the first few are spread as well."""
    total = sum(len(plan.rows(shard)) for shard in shards)
    count = min(limit, total)
    positions = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    rows = [
        plan.rows(shards[position // plan.shard_size])[position % plan.shard_size]
        for position in positions
    ]
    return [rows[i] for i in np.random.default_rng(0).permutation(count)]


def take_sample(
    images: ImageSource,
    names: Sequence[str],
    method: str,
    opener: ShardOpener,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Sample:
    """Make masks of some images, as a worker would, and forget them.

    It ends after `TARGET_SECONDS`, or after `MIN_IMAGES` where those take longer; a network's in
    whole batches. What the `opener` opens is compiled already, or compiling is timed too.
    """
    failed: dict[str, str] = {}
    longest = max((len(escaped(name).encode()) for name in names), default=0)
    count, total_bytes = 0, 0
    unread: list[Unread] = []
    with single_threaded():
        if names and opener(range(1), [names[0]]).batch is not None:
            _make_rows(images, names, method, opener)  # a device takes longer at first
        start = now = clock()
        while count < len(names) and (count < MIN_IMAGES or now - start < TARGET_SECONDS):
            rows, recorder = _make_rows(images, names[count:], method, opener)
            unread += recorder.unread
            failed |= {
                path: reason for path, reason in zip(rows.path, rows.error, strict=True) if reason
            }
            total_bytes += sum(compressed_size(mask) + ROW_BYTES + longest for mask in rows.masks)
            count, now = count + len(rows.path), clock()
    if 2 * len(unread) > count:  # what failed at once says nothing of what the others take
        refuse(images, unread)
    return Sample(count, now - start, total_bytes, failed)


def _make_rows(
    images: ImageSource, names: Sequence[str], method: str, opener: ShardOpener
) -> tuple[MaskRows, FailureRecorder]:
    """Make masks of the first image, or of the first batch."""
    batch = opener(range(1), [names[0]]).batch
    batch_names = list(names[: batch.size if batch is not None else 1])
    work = opener(range(len(batch_names)), batch_names)
    recorder = FailureRecorder(images, method, work.rows)
    process_rows(work, recorder)
    return cast(MaskRows, work.rows), recorder
