"""How a network runs, and the masks that it makes for a shard's rows, several at a time."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.compute.batches import Batching
from dilo.pipeline.compute.shard import ShardOpener, ShardWork
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.decoding import decode_content
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.masks.gpus import own_device
from dilo.pipeline.saliency.networkmasks import NetworkMasks, Prepared, open_masks
from dilo.pipeline.saliency.recipe import MaskRecipe
from dilo.pipeline.store.maskrows import MaskRows

#: Threads that keep a GPU fed, at most: more of them wait for each other.
MOST_WORKERS = 16
#: Images that a device takes at once, unless it is said. A core is as fast with one as with more.
BATCHES = {"cpu": 1, "cuda": 32}


@dataclass(frozen=True)
class NetworkRun:
    """How the network of a store runs.

    Attributes
    ----------
    weights : Path
        Its file of weights.
    device : {"cpu", "cuda"}
        Where it computes; on GPUs, each process takes one of its own.
    batch : int or None
        Images at a time; unless given, what `BATCHES` says.
    workers : int or None
        Threads that read images and finish masks; unless given, one on a CPU, and for a GPU
        its process's share of the cores.
    processes : int
        So many share the cores.
    """

    weights: Path
    device: str = "cpu"
    batch: int | None = None
    workers: int | None = None
    processes: int = 1

    @property
    def images(self) -> int:
        """Tell how many images the device takes at once.

        Returns
        -------
        int
            From 1.
        """
        return self.batch or BATCHES[self.device]

    @property
    def threads(self) -> int:
        """Tell how many threads work beside the device, on the machine that asks.

        Returns
        -------
        int
            From 1.
        """
        if self.workers:
            return self.workers
        if self.device == "cpu":
            return 1
        share: int = joblib.cpu_count() // self.processes
        return max(1, min(MOST_WORKERS, share))


@dataclass(frozen=True, eq=False)
class _Image:
    """An image on its way through a network.

    Attributes
    ----------
    prepared : Prepared
        What the network takes.
    shape : tuple of int
        Height and width of the image.
    """

    prepared: Prepared
    shape: tuple[int, int]


def open_network(
    recipe: MaskRecipe, size: int, names: Names, run: NetworkRun | None
) -> ShardOpener:
    """Open the network of a planned store on this process's device, for masks of this side."""
    if run is None:
        raise DiloError(f"the masks of {recipe.name} come from a network: give its --weights FILE")
    masks = open_masks(recipe, run.weights, own_device(run.device), names)
    lock = threading.Lock()  # with --backend threading, shards share the network

    def open_shard(images: range, paths: list[str]) -> ShardWork:
        rows = MaskRows.blank([escaped(path) for path in paths], size)
        batching = _batching(masks, run, rows, paths, lock)
        return ShardWork(rows, range(len(paths)), batching.fill, batching)

    return open_shard


def _batching(
    masks: NetworkMasks, run: NetworkRun, rows: MaskRows, paths: list[str], lock: threading.Lock
) -> Batching:
    """Say how the rows of a shard are made."""

    def prepare(row: int, content: bytes) -> _Image:
        pixels = decode_content(content)
        return _Image(masks.prepare(pixels), (pixels.shape[0], pixels.shape[1]))

    def compute(some: Sequence[int], images: Sequence[_Image]) -> list[NDArray[np.float32]]:
        with lock:
            return list(masks.maps([i.prepared for i in images], [paths[row] for row in some]))

    def finish(row: int, image: _Image, found: NDArray[np.float32]) -> None:
        rows.masks[row] = masks.finish(image.prepared, found, rows.masks.shape[1])
        rows.shape[row] = image.shape

    def blank(image: _Image) -> _Image:
        seen = np.zeros_like(image.prepared.seen)
        return replace(image, prepared=replace(image.prepared, seen=seen))

    return Batching(run.images, run.threads, prepare, compute, finish, blank)
