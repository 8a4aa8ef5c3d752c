"""A sample of images that are to do, timed and weighed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from dilo.pipeline.compute.failures import FailureRecorder, Unread, refuse
from dilo.pipeline.compute.shard import ShardOpener, process_rows
from dilo.pipeline.compute.worker import single_threaded
from dilo.pipeline.images.names import escaped
from dilo.pipeline.store.maskrows import MaskRows, compressed
from dilo.pipeline.store.plan import Plan

#: Images of a sample: as many as these seconds allow, within these bounds.
SECONDS, FEWEST, MOST = 5.0, 8, 64
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
        """Tell how long an image takes."""
        return self.seconds / max(1, self.images)

    @property
    def bytes_each(self) -> float:
        """Tell how large a row is."""
        return self.bytes / max(1, self.images)


def spread_rows(plan: Plan, shards: Sequence[int], most: int = MOST) -> list[int]:
    """Choose rows that lie evenly over some shards."""
    total = sum(len(plan.rows(shard)) for shard in shards)
    count = min(most, total)
    even = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    rows = [plan.rows(shards[p // plan.shard_size])[p % plan.shard_size] for p in even]
    return [rows[i] for i in np.random.default_rng(0).permutation(count)]


def take_sample(
    images: Path,
    names: Sequence[str],
    method: str,
    opener: ShardOpener,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Sample:
    """Make masks of some images, as a worker would, and forget them."""
    failed: dict[str, str] = {}
    longest = max((len(escaped(name).encode()) for name in names), default=0)
    done, total = 0, 0
    unread: list[Unread] = []
    with single_threaded():
        if names and opener(range(1), [names[0]]).batch is not None:
            _make_some(images, names, method, opener)  # a device takes longer at first
        start = now = clock()
        while done < len(names) and (done < FEWEST or now - start < SECONDS):
            rows, attempts = _make_some(images, names[done:], method, opener)
            unread += attempts.unread
            failed |= {path: why for path, why in zip(rows.path, rows.error, strict=True) if why}
            total += sum(len(compressed(mask)) + ROW_BYTES + longest for mask in rows.masks)
            done, now = done + len(rows.path), clock()
    if 2 * len(unread) > done:  # what failed at once says nothing of what the others take
        refuse(images, unread)
    return Sample(done, now - start, total, failed)


def _make_some(
    images: Path, names: Sequence[str], method: str, opener: ShardOpener
) -> tuple[MaskRows, FailureRecorder]:
    """Make masks of the first image, or of the first batch."""
    batch = opener(range(1), [names[0]]).batch
    some = list(names[: batch.size if batch is not None else 1])
    work = opener(range(len(some)), some)
    attempts = FailureRecorder(images, method, work.rows)
    process_rows(work, attempts)
    return cast(MaskRows, work.rows), attempts
