"""Build a shard: read its images, make a row of each, publish them. The unit of work."""

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.compute.batches import BatchProcessor, Throughput, process_in_batches
from dilo.pipeline.compute.failures import FailureRecorder
from dilo.pipeline.compute.worker import single_threaded
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.source import ImageSource
from dilo.pipeline.store.maskrows import MaskRows
from dilo.pipeline.store.plan import Plan, cached_names, shard_path
from dilo.pipeline.store.rows import ImageRows
from dilo.pipeline.store.shardfile import read_summary, write_shard


@dataclass(frozen=True)
class ShardWork:
    """Rows that are still to be made, and how."""

    #: To be filled in place.
    rows: ImageRows
    #: The rows whose images are to be read, in this order.
    rows_to_do: Sequence[int]
    #: Fills a row from the content of its image file; where that raises, the row stays blank.
    process: Callable[[int, bytes], None]
    #: How rows are made several at a time, where that is faster; they come out the same.
    batch: BatchProcessor | None = None


#: From a shard's images, as positions in images.txt and as paths, to the making of their rows.
ShardOpener = Callable[[range, list[str]], ShardWork]
#: From a path of the list and the content of its file to a mask (S, S) and the image's (H, W).
MaskFunction = Callable[[str, bytes], tuple[NDArray[np.uint8], tuple[int, int]]]


class RowSource(Protocol):
    """Who makes the rows of a store: hashable, and a pickle that any worker opens."""

    def open(self, store: Path, plan: Plan) -> ShardOpener:
        """Open what a store's rows are made by, once in a process, or refuse the plan."""

    def __hash__(self) -> int:
        """Hash it, for what it opened is kept by it."""


def per_image_work(make: MaskFunction, size: int) -> ShardOpener:
    """Make the rows of shards of masks, of this side, each of its own image."""

    def open_shard(images: range, paths: list[str]) -> ShardWork:
        rows = MaskRows.empty([escaped(path) for path in paths], size)

        def process(row: int, content: bytes) -> None:
            rows.masks[row], rows.shape[row] = make(paths[row], content)

        return ShardWork(rows, range(len(paths)), process)

    return open_shard


@dataclass(frozen=True)
class Outcome:
    """What a shard came to."""

    #: Its number.
    shard: int
    #: Rows in it.
    images: int
    #: Path and reason of each image that could not be read.
    failed: dict[str, str]
    #: How fast a network made them here; None for other methods, and for a shard that was there.
    pace: Throughput | None = field(default=None, compare=False)


@dataclass(frozen=True)
class ShardBuilder:
    """Builds the shards of a planned store, anywhere: its `build` is the task of a worker."""

    #: The images, which the store names.
    images: ImageSource
    #: The store; its plan says the rest.
    store: Path
    #: Who makes the rows.
    source: RowSource

    def build(
        self,
        shard: int,
        *,
        on_row: Callable[[int], None] | None = None,
        skip: Mapping[int, str] | None = None,
    ) -> Outcome:
        """Build one shard and publish it, unless somebody else has.

        If `on_row` is given, it is told each row before that is made, and rows are made one by
        one; `skip` has the rows that must not be tried, and why.
        """
        plan = Plan.load(self.store)
        path = shard_path(self.store, shard)
        if path.exists():
            summary = read_summary(self.store, plan, shard)
            return Outcome(shard, summary.images, summary.failed)
        work = self._open_work(plan, shard)
        names = cached_names(self.store, plan.digest)
        recorder = FailureRecorder(self.images, plan.method, work.rows, skip or {}, names)
        with single_threaded():
            pace = process_rows(work, recorder, on_row)
        recorder.require_access()
        rows = work.rows
        write_shard(path, rows, plan.fingerprint())
        failed = {path: error for path, error in zip(rows.path, rows.error, strict=True) if error}
        return Outcome(shard, len(rows.path), failed, pace)

    def try_row(self, shard: int, row: int) -> None:
        """Make one row and throw it away: to see whether a process survives it."""
        plan = Plan.load(self.store)
        work = self._open_work(plan, shard)
        row_work = ShardWork(work.rows, [row], work.process)
        with single_threaded():
            process_rows(row_work, FailureRecorder(self.images, plan.method, work.rows))

    def _open_work(self, plan: Plan, shard: int) -> ShardWork:
        """Open the rows of a shard."""
        names = cached_names(self.store, plan.digest)
        with single_threaded():
            with _OPEN_LOCK:  # of several threads, one opens a network
                open_shard = _open_source(self.source, self.store, plan.fingerprint())
            images = plan.rows(shard)
            return open_shard(images, [names[i] for i in images])


def process_rows(
    work: ShardWork, recorder: FailureRecorder, on_row: Callable[[int], None] | None = None
) -> Throughput | None:
    """Make the rows that are to do, in batches where they can be, and return the pace of these.

    The caller holds `single_threaded`. If `on_row` is given, it is told each row before that is
    made, and rows are made one by one.
    """
    if work.batch is not None and on_row is None:
        return process_in_batches(recorder, work.batch, work.rows_to_do)
    for row in work.rows_to_do:
        if on_row is not None:
            on_row(row)
        content = recorder.read(row)
        if content is not None:
            recorder.run(row, work.process, row, content)
    return None


_OPEN_LOCK = threading.Lock()


@functools.lru_cache(maxsize=1)
def _open_source(source: RowSource, store: Path, fingerprint: str) -> ShardOpener:
    """Open what makes the rows of a store, once a process and plan."""
    return source.open(store, Plan.load(store))
