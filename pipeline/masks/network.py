"""How a network runs, and the masks that it makes for a shard's rows, several at a time."""

import threading
from dataclasses import dataclass, replace
from pathlib import Path

import joblib

from dilo.pipeline.compute.batches import BatchProcessor
from dilo.pipeline.compute.shard import ShardOpener, ShardWork
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.masks.gpus import own_device
from dilo.pipeline.saliency.networkmasks import open_masks
from dilo.pipeline.saliency.recipe import MaskRecipe
from dilo.pipeline.store.maskrows import MaskRows

#: Threads that keep a GPU fed, at most: more of them wait for each other.
MAX_WORKERS = 16
#: Images that a device takes at once, unless it is said. A core is as fast with one as with more.
DEFAULT_BATCH_SIZES = {"cpu": 1, "cuda": 32}
#: Batches on a device at once: while a GPU computes one, the next is copied to it.
IN_FLIGHT = {"cpu": 1, "cuda": 2}


@dataclass(frozen=True)
class InferenceSettings:
    """How the network of a store runs."""

    #: Its file of weights.
    weights: Path
    #: Where it computes; on GPUs, each process takes one of its own.
    device: str = "cpu"
    #: Images at a time; unless given, what `DEFAULT_BATCH_SIZES` says.
    batch: int | None = None
    #: Threads that read images and finish masks; unless given, one on a CPU, and for a GPU its
    #: process's share of the cores.
    workers: int | None = None
    #: So many share the cores.
    processes: int = 1

    @property
    def batch_size(self) -> int:
        """Return how many images the device takes at once."""
        return self.batch or DEFAULT_BATCH_SIZES[self.device]

    @property
    def threads(self) -> int:
        """Choose how many threads work beside the device, on the machine that asks."""
        if self.workers:
            return self.workers
        if self.device == "cpu":
            return 1
        share: int = joblib.cpu_count() // self.processes
        return max(1, min(MAX_WORKERS, share))


def check_weights(recipe: MaskRecipe, weights: Path, names: Names) -> None:
    """Refuse weights that do not fit, in full precision on the CPU: a GPU is for the workers."""
    method = recipe.method.with_parameters({"precision": "fp32"})
    open_masks(replace(recipe, method=method), weights, "cpu", names)


def open_network(
    recipe: MaskRecipe, size: int, names: Names, inference: InferenceSettings | None
) -> ShardOpener:
    """Open the network of a planned store on this process's device, for masks of this side."""
    if inference is None:
        raise DiloError(f"the masks of {recipe.name} come from a network: give its --weights FILE")
    masks = open_masks(recipe, inference.weights, own_device(inference.device), names)
    in_flight = IN_FLIGHT[inference.device]
    lock = threading.Semaphore(in_flight)  # with --backend threading, shards share the network

    def open_shard(images: range, paths: list[str]) -> ShardWork:
        rows = MaskRows.empty([escaped(path) for path in paths], size)
        batch = BatchProcessor(
            masks, rows, paths, inference.batch_size, inference.threads, lock, in_flight
        )
        return ShardWork(rows, range(len(paths)), batch.process, batch)

    return open_shard
