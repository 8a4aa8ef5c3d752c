"""The masks of a network, made for a shard's rows several at a time."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.batched import Batching
from dilo.pipeline.errors import DiloError
from dilo.pipeline.gpus import own_device
from dilo.pipeline.images import decode_content
from dilo.pipeline.making import Maker, Making
from dilo.pipeline.maskrows import MaskRows
from dilo.pipeline.names import Names, escaped
from dilo.pipeline.networkrun import NetworkRun
from dilo.pipeline.saliency.masking import NetworkMasks, Prepared, open_masks
from dilo.pipeline.saliency.recipe import MaskRecipe


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


def network_maker(recipe: MaskRecipe, size: int, names: Names, run: NetworkRun | None) -> Maker:
    """Open the network of a planned store, on this process's device.

    Parameters
    ----------
    recipe : MaskRecipe
        What decides a mask.
    size : int
        Side of a mask, in pixels.
    names : Names
        The images of the store.
    run : NetworkRun or None
        How the network runs.

    Returns
    -------
    callable
        From some images to the making of their rows.

    Raises
    ------
    DiloError
        If there are no weights, or others than the plan's, or they do not fit, or there is no
        such device.
    """
    if run is None:
        raise DiloError(f"the masks of {recipe.name} come from a network: give its --weights FILE")
    masks = open_masks(recipe, run.weights, own_device(run.device), names)
    lock = threading.Lock()  # with --backend threading, shards share the network

    def begin(images: range, paths: list[str]) -> Making:
        rows = MaskRows.blank([escaped(path) for path in paths], size)
        batching = _batching(masks, run, rows, paths, lock)
        return Making(rows, range(len(paths)), batching.fill, batching)

    return begin


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
