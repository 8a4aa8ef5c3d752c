"""What a store of masks would take: time and disk, estimated from a timed sample."""

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import joblib

from dilo.pipeline.common.disk import free_space, gigabytes, nearest_existing
from dilo.pipeline.common.printing import counted, failure_lines
from dilo.pipeline.compute.arrays import ArrayTask
from dilo.pipeline.compute.shard import ShardOpener
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.source import ImageSource
from dilo.pipeline.masks.sample import Sample, spread_rows, take_sample
from dilo.pipeline.store.plan import PLAN, Plan
from dilo.pipeline.store.status import missing_shards

#: Bytes of a shard without its rows, measured on shards of 8 to 1000.
SHARD_BYTES = 12_000
#: What a worker has one of.
Unit: TypeAlias = Literal["core", "GPU"]


@dataclass(frozen=True)
class Estimate:
    """What is to do of a store, and what that takes."""

    #: The store's.
    plan: Plan
    #: How many shards are to do, and how many images are in them.
    shards: int
    images: int
    #: At work at once; None on a cluster, which is not asked for its size.
    workers: int | None
    #: Some of the images.
    sample: Sample
    #: On the disk, for what is to do.
    bytes: int
    #: The store, or the nearest folder above it that exists, and the bytes free there.
    existing_folder: Path
    free: int
    #: What a worker has one of.
    unit: Unit = "core"

    @property
    def hours(self) -> float:
        """Compute the hours of one core, or of one GPU, for all that is to do."""
        return self.images * self.sample.seconds_each / 3600

    @property
    def seconds(self) -> float | None:
        """Compute how long all workers take together; None on a cluster."""
        if self.workers is None:
            return None
        return self.images * self.sample.seconds_each / max(1, self.workers)

    def report_lines(self, *, max_failures: int) -> list[str]:
        """Format it for people, with so many of the failures; `as_dict` has all."""
        sample = self.sample
        lines = [
            f"{counted(self.plan.images, 'image')} in {counted(self.plan.shards, 'shard')}; "
            f"to do: {counted(self.images, 'image')} in {self.shards}"
        ]
        if sample.images:
            each = f"{1000 * sample.seconds_each:.1f} ms and {sample.bytes_each / 1000:.1f} kB"
            lines.append(f"sample: {sample.images} images, {each} each on one {self.unit}")
            hours = f"{self.hours:.{1 if self.hours >= 1 else 4}f} {self.unit}-hours"
            lines.append(f"time: {self._time()}; {hours}")
        disk = f"disk: {gigabytes(self.bytes)}"
        lines.append(f"{disk}; {gigabytes(self.free)} free at {self.existing_folder}")
        lines += failure_lines(sample.failed, max_failures)
        if self.bytes > self.free:
            shortage = f"{gigabytes(self.bytes)} do not fit into {gigabytes(self.free)}"
            lines.append(f"warning: {shortage}: free some, or give --out on another disk")
        return lines

    def _time(self) -> str:
        """Format the time as h:mm:ss, and the workers."""
        if self.workers is None or self.seconds is None:
            return "depends on the cluster's size"
        duration = datetime.timedelta(seconds=round(self.seconds))
        return f"about {duration} with {counted(self.workers, 'worker')}"

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "images": self.plan.images,
            "images_to_do": self.images,
            "shards": self.plan.shards,
            "shards_to_do": self.shards,
            "sampled": self.sample.images,
            "seconds_an_image": self.sample.seconds_each,
            "bytes_an_image": self.sample.bytes_each,
            "workers": self.workers,
            "seconds": self.seconds,
            f"{self.unit.lower()}_hours": self.hours,
            "bytes": self.bytes,
            "free_bytes": self.free,
            "free_at": str(self.existing_folder),
            "failed": self.sample.failed,
        }


def estimate(
    images: ImageSource,
    store: Path,
    plan: Plan,
    names: Names,
    opener: ShardOpener,
    *,
    jobs: int,
    unit: Unit = "core",
    cluster: bool = False,
    task: ArrayTask | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Estimate:
    """Time a sample of the images that are to do, by the opener, and estimate what all take.

    Of a task of an array, what its share takes. Starting the workers is not in it.
    """
    missing = missing_shards(store, plan)
    shards = task.select(missing) if task else missing
    sample_names = [names[row] for row in spread_rows(plan, shards)]
    sample = take_sample(images, sample_names, plan.method, opener, clock=clock)
    count = sum(len(plan.rows(shard)) for shard in shards)
    # More workers than cores or shards save no time.
    useful_workers = min(joblib.effective_n_jobs(jobs), joblib.cpu_count(), len(shards))
    size = round(len(shards) * SHARD_BYTES + count * sample.bytes_each)
    if not (store / PLAN).exists():
        size += len(names.text().encode()) + len(plan.text())
    folder = nearest_existing(store)
    workers, free = None if cluster else useful_workers, free_space(folder)[0]
    return Estimate(plan, len(shards), count, workers, sample, size, folder, free, unit)
