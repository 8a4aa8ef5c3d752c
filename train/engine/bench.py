"""How fast each stage of training is on this machine, and which of them the others wait for."""

import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from dilo.pipeline.common.printing import counted
from dilo.pipeline.compute.workercount import usable_cores
from dilo.train.augment.backgrounds import Stores
from dilo.train.augment.loops import compile_loops
from dilo.train.data.crop import compile_crops
from dilo.train.data.dataset import CropBatch, collate
from dilo.train.data.images import ImageSet
from dilo.train.data.loader import Prefetched, prefetch_to_device
from dilo.train.engine.memory import advice_on_memory, advice_on_parts
from dilo.train.engine.pretrain import Pretraining
from dilo.train.engine.trainer import Optimization
from dilo.train.methods.base import ViewBatch
from dilo.train.recipes.recipe import Recipe
from dilo.train.runtime import distributed
from dilo.train.runtime.devices import device_name, kernel_choice
from dilo.train.runtime.options import RunOptions

#: Seconds of each stage.
SECONDS = 4.0
#: Rounds of a stage of the device.
ROUNDS = 5
#: More epochs than a measurement takes.
ENDLESS = 2**20
CPU = torch.device("cpu")


class Stages:
    """Training by a recipe, cut into what the loader, the device and both together do.

    A stage that is repeated on the device counts as the median of rounds; one that streams
    through the loader as the mean, for its stalls are a part of it. Each is timed for `seconds`
    after it has warmed up; one round takes as long as it takes. Rates are images a second, not
    views.
    """

    def __init__(
        self, recipe: Recipe, source: ImageSet, machine: RunOptions, stores: Stores, seconds: float
    ) -> None:
        endless = dataclasses.replace(recipe.optimizer, epochs=ENDLESS)
        self._recipe = dataclasses.replace(recipe, optimizer=endless)
        self._machine, self._seconds = machine, seconds
        without_knn = dataclasses.replace(machine, knn_every=0)
        self._task = Pretraining(self._recipe, source, without_knn, stores, distributed.no_log)
        self._first = next(iter(self._task.batches(0)))
        self.method = self._task.method
        self._task.bank.load_epoch(0)
        self._update = Optimization(self._task.model, self._task.optimizer, machine)
        self._parts: list[ViewBatch] = []
        self._steps = 0

    def allows_parts(self, parts: int) -> bool:
        """Check whether a batch can be taken in so many parts."""
        return self._task.allows_parts(parts)

    def decode(self) -> float:
        """Read, decode and crop files in workers, all of them together."""
        # From the middle of an epoch, for the whole begins with its first images, and would find
        # them in the system's cache.
        reading = self._task.loader(self._task.steps_per_epoch // 2)
        with contextlib.closing(prefetch_to_device(reading, CPU)) as batches:
            return self.stream(prefetched.wait_seconds for prefetched in batches)[0]

    def augment(self) -> float:
        """Augment a batch that lies on the device."""
        crops = self._crops()
        return self._repeat(lambda: self._task.inputs(crops, 0, 0))

    def network(self) -> float:
        """Take steps on views that lie on the device."""
        views = self._task.inputs(self._crops(), 0, 0)
        return self._repeat(lambda: self.step(views))

    def whole(self) -> tuple[float, float]:
        """Train, from the loader to the optimiser; return what `stream` does."""
        with contextlib.closing(
            prefetch_to_device(self._task.loader(0), self._machine.device)
        ) as batches:
            return self.stream(self._training_waits(batches))

    def _crops(self) -> CropBatch:
        """Bring a batch, or a part of one, to the device."""
        batch = collate([self._task.dataset[key] for key in self._first])
        with contextlib.closing(prefetch_to_device([batch], self._machine.device)) as batches:
            return next(batches).batch

    def _training_waits(self, batches: Iterator[Prefetched[CropBatch]]) -> Iterator[float]:
        """Take a step on each batch, and yield the seconds that it was waited for."""
        for prefetched in batches:
            step = self._steps % self._task.steps_per_epoch  # the backgrounds of epoch 0 serve
            self.step(self._task.inputs(prefetched.batch, step, len(self._parts)))
            yield prefetched.wait_seconds

    def step(self, views: ViewBatch) -> None:
        """Gather the parts of a batch, and take a step when they are all there."""
        self._parts.append(dataclasses.replace(views, step=self._steps, part=len(self._parts)))
        if len(self._parts) == self._machine.accumulate:
            self._update.step(self._parts, self._machine.accumulate, self._recipe.optimizer.lr)
            self._parts.clear()
            self._steps += 1

    def stream(self, waits: Iterator[float]) -> tuple[float, float]:
        """Time a stream of batches, given by their waits: images a second, share of time waited."""
        # Workers that started together deliver together: whole rounds of them are counted.
        burst = max(1, self._machine.workers) * self._machine.accumulate
        for _ in range(burst):
            next(waits)
        self._synchronize()
        begin, count, waiting = time.perf_counter(), 0, 0.0
        while not count or time.perf_counter() - begin < self._seconds:
            waiting += sum(next(waits) for _ in range(burst))
            count += burst
        self._synchronize()
        elapsed = time.perf_counter() - begin
        return count * len(self._first) / elapsed, waiting / elapsed

    def _repeat(self, work: Callable[[], object]) -> float:
        """Time work on a batch, or a part of one, on the device: images a second."""

        def time_calls(calls: int) -> float:
            begin = time.perf_counter()
            for _ in range(calls * self._machine.accumulate):
                work()
            self._synchronize()
            return (time.perf_counter() - begin) / calls

        time_calls(1)  # compiles, chooses kernels, allocates
        calls = max(1, round(self._seconds / ROUNDS / time_calls(1)))
        begin, rounds = time.perf_counter(), [time_calls(calls)]
        while len(rounds) < ROUNDS and time.perf_counter() - begin < self._seconds:
            rounds.append(time_calls(calls))
        return self._recipe.optimizer.batch / statistics.median(rounds)

    def _synchronize(self) -> None:
        """Wait until the device has done all that it was told."""
        if self._machine.device.type == "cuda":
            torch.cuda.synchronize(self._machine.device)


def bench(
    recipe: Recipe,
    source: ImageSet,
    machine: RunOptions,
    stores: Stores,
    say: Callable[[str], None],
    *,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Time the stages of training, each alone and then all together; nothing is written."""
    stages = Stages(recipe, source, machine, stores, seconds)
    compile_crops(say)
    if machine.device.type == "cpu":
        compile_loops(say)
    say(f"measuring four stages, each for {seconds:g} s after a warm-up")
    parts, batch = machine.accumulate, recipe.optimizer.batch
    with (
        kernel_choice(deterministic=machine.deterministic),
        advice_on_memory(
            f"a step on {batch} images, taken in {counted(parts, 'part')}",
            machine.device,
            lambda: advice_on_parts(batch, parts, stages.allows_parts),
        ),
    ):
        decode, augment, network = stages.decode(), stages.augment(), stages.network()
        whole, waiting = stages.whole()
    per_core = decode / max(1, min(machine.workers, usable_cores()))
    device = 1 / (1 / augment + 1 / network)
    slower = "network" if network < augment else "augmentation"
    return {
        "decode": decode,
        "decode_per_core": per_core,
        "augment": augment,
        "network": network,
        "whole": whole,
        "waited": waiting,
        "bottleneck": "decode and crops" if decode <= device else slower,
        "cores": math.ceil(device / per_core),
        "workers": machine.workers,
        "precision": machine.precision,
        "arch": recipe.model.arch,
        "batch": recipe.optimizer.batch,
        "size": recipe.views.size,
        "views": stages.method.view_count,
        "device": device_name(machine.device),
    }


def bench_table(result: dict[str, Any]) -> list[str]:
    """Format the result of `bench` as a table, in lines of up to 80 characters."""
    workers = f"{result['workers']} worker" + "s" * (result["workers"] != 1)
    rows = [
        (f"decode and crops, {workers}", "decode", f"({_rate(result['decode_per_core'])} a core)"),
        ("augmentation", "augment", f"({result['views']} x {result['size']} px)"),
        (f"network, {result['arch']}", "network", f"({result['precision']})"),
        ("whole", "whole", f"({result['waited']:.0%} waiting for the loader)"),
    ]
    cores = f"{result['cores']} core" + "s" * (result["cores"] != 1)
    return [
        f"{'stage':<32.32}{'images/s':>10}   {result['device'][:34]}",
        *(f"{name:<32.32}{_rate(result[key]):>10}   {note}" for name, key, note in rows),
        f"bottleneck: {result['bottleneck']}; {cores} would keep this device busy",
    ]


def _rate(value: float) -> str:
    """Format images a second."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
