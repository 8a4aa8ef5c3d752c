"""What a store of masks would take: time and disk, reckoned from a timed sample."""

import datetime
import heapq
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import joblib

from dilo.pipeline.common.disk import free_space, gigabytes, nearest
from dilo.pipeline.common.printing import counted, failure_lines
from dilo.pipeline.compute.arrays import Task
from dilo.pipeline.compute.shard import ShardOpener
from dilo.pipeline.images.names import Names
from dilo.pipeline.masks.sample import Sample, spread_rows, take_sample
from dilo.pipeline.store.plan import PLAN, Plan
from dilo.pipeline.store.status import missing_shards

#: Bytes of a shard without its rows, measured on shards of 8 to 1000.
SHARD_BYTES = 12_000
#: What a worker has one of.
Unit: TypeAlias = Literal["core", "GPU"]


@dataclass(frozen=True)
class Load:
    """Some shards, and what they take.

    Attributes
    ----------
    shards : int
        How many.
    images : int
        In them.
    workers : int or None
        At work at once; None on a cluster, which is not asked for its size.
    seconds : float or None
        Until the last worker is done; None on a cluster.
    """

    shards: int
    images: int
    workers: int | None
    seconds: float | None

    def words(self) -> str:
        """Say how long it takes.

        Returns
        -------
        str
            The time as h:mm:ss, and the workers.
        """
        if self.seconds is None:
            return "as the cluster has cores"
        about = datetime.timedelta(seconds=round(self.seconds))
        return f"about {about} with {self.workers} worker{'' if self.workers == 1 else 's'}"


@dataclass(frozen=True)
class Estimate:
    """What is left to do of a store, and what that takes.

    Attributes
    ----------
    plan : Plan
        The store's.
    load : Load
        All that is to do.
    sample : Sample
        Some of its images.
    bytes : int
        On the disk, for what is to do.
    place : Path
        The store, or the nearest folder above it that exists.
    free : int
        Bytes free there.
    writable : bool
        Whether this user may write there.
    task : Task or None
        Which task of an array this is.
    share : Load or None
        What that task does of it.
    unit : {"core", "GPU"}
        What a worker has one of.
    """

    plan: Plan
    load: Load
    sample: Sample
    bytes: int
    place: Path
    free: int
    writable: bool = True
    task: Task | None = None
    share: Load | None = None
    unit: Unit = "core"

    @property
    def hours(self) -> float:
        """Tell what all that is to do takes of a core, or of a GPU.

        Returns
        -------
        float
            Hours.
        """
        return self.load.images * self.sample.seconds_each / 3600

    def warnings(self) -> list[str]:
        """List what a run would end with.

        Returns
        -------
        list of str
            One sentence each.
        """
        found = []
        if self.bytes > self.free:
            lacking = f"{gigabytes(self.bytes)} do not fit into {gigabytes(self.free)}"
            found.append(f"{lacking}: free some, or give --out on another disk")
        if not self.place.is_dir():
            found.append(f"{self.place} is a file: give another --out")
        elif not self.writable:
            found.append(f"{self.place} cannot be written: give another --out")
        return found

    def lines(self, *, named: int) -> list[str]:
        """Say it in words.

        Parameters
        ----------
        named : int
            How many failures to name; `record` names all.

        Returns
        -------
        list of str
            What is to do, what it takes, failures of the sample, warnings.
        """
        load, sample = self.load, self.sample
        lines = [
            f"{counted(self.plan.images, 'image')} in {counted(self.plan.shards, 'shard')}; "
            f"to do: {counted(load.images, 'image')} in {load.shards}"
        ]
        if sample.images:
            each = f"{1000 * sample.seconds_each:.1f} ms and {sample.bytes_each / 1000:.1f} kB"
            lines.append(f"sample: {sample.images} images, {each} each on one {self.unit}")
            hours = f"{self.hours:.{1 if self.hours >= 1 else 4}f} {self.unit}-hours"
            lines.append(f"time: {load.words()}; {hours}")
        if self.task and self.share:
            which = f"task {self.task.index} of {self.task.count}"
            lines.append(f"{which}: {self.share.images} images, {self.share.words()}")
        disk = f"disk: {gigabytes(self.bytes)}"
        lines.append(f"{disk}; {gigabytes(self.free)} free at {self.place}")
        lines += failure_lines(sample.failed, named)
        return [*lines, *(f"warning: {warning}" for warning in self.warnings())]

    def record(self) -> dict[str, Any]:
        """Say it for machines.

        Returns
        -------
        dict
            Ready for JSON.
        """
        load, share = self.load, self.share
        return {
            "images": self.plan.images,
            "images_to_do": load.images,
            "shards": self.plan.shards,
            "shards_to_do": load.shards,
            "sampled": self.sample.images,
            "seconds_an_image": self.sample.seconds_each,
            "bytes_an_image": self.sample.bytes_each,
            "workers": load.workers,
            "seconds": load.seconds,
            f"{self.unit.lower()}_hours": self.hours,
            "task": {**vars(self.task), **vars(share)} if self.task and share else None,
            "bytes": self.bytes,
            "free_bytes": self.free,
            "free_at": str(self.place),
            "failed": self.sample.failed,
            "warnings": self.warnings(),
        }


def estimate(
    images: Path,
    store: Path,
    plan: Plan,
    names: Names,
    opener: ShardOpener,
    *,
    jobs: int,
    unit: Unit = "core",
    cluster: bool = False,
    task: Task | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Estimate:
    """Time a sample of the images that are to do, and reckon what all of them take.

    Parameters
    ----------
    images : Path
        Folder that the names are relative to.
    store : Path
        The store; need not exist.
    plan : Plan
        Its plan.
    names : Names
        Its images.
    opener : callable
        What makes the masks.
    jobs : int
        Workers, as joblib counts them.
    unit : {"core", "GPU"}
        What a worker has one of.
    cluster : bool, default False
        Whether others than this machine compute.
    task : Task, optional
        Which task of an array this is.
    clock : callable
        Seconds.

    Returns
    -------
    Estimate
        Of what is to do. Starting the workers is not in it.
    """
    shards = missing_shards(store, plan)
    chosen = [names[row] for row in spread_rows(plan, shards)]
    sample = take_sample(images, chosen, plan.method, opener, clock=clock)
    workers = None if cluster else min(joblib.effective_n_jobs(jobs), joblib.cpu_count())
    each = sample.seconds_each
    load = load_of(plan, shards, each, workers)
    share = load_of(plan, task.share(shards), each, workers) if task else None
    size = round(load.shards * SHARD_BYTES + load.images * sample.bytes_each)
    if not (store / PLAN).exists():
        size += len(names.text().encode()) + len(plan.text())
    place = nearest(store)
    free, writable = free_space(place)[0], os.access(place, os.W_OK | os.X_OK)
    return Estimate(plan, load, sample, size, place, free, writable, task, share, unit)


def load_of(plan: Plan, shards: Sequence[int], seconds: float, workers: int | None) -> Load:
    """Reckon how long shards take that workers pick one after the other.

    Parameters
    ----------
    plan : Plan
        The store's.
    shards : sequence of int
        Numbers of the shards.
    seconds : float
        For an image, on one core.
    workers : int or None
        How many there are; None on a cluster.

    Returns
    -------
    Load
        With no more workers than shards.
    """
    images = [len(plan.rows(shard)) for shard in shards]
    if workers is None:
        return Load(len(shards), sum(images), None, None)
    workers = min(workers, len(shards))
    ends = [0] * workers
    for count in images:
        heapq.heapreplace(ends, ends[0] + count)
    return Load(len(shards), sum(images), workers, max(ends, default=0) * seconds)
