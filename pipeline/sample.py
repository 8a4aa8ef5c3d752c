"""A sample of images that are to do, timed and weighed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dilo.pipeline.errors import ImageError
from dilo.pipeline.images import decode_reduced, read_file
from dilo.pipeline.maskrows import compressed
from dilo.pipeline.names import escaped
from dilo.pipeline.plan import Plan
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.workers import one_core

#: Images of a sample: as many as these seconds allow, within these bounds.
SECONDS, FEWEST, MOST = 5.0, 8, 64
#: Bytes of a row without mask and path: HDF5's index of chunks, and the columns.
ROW_BYTES = 86


@dataclass(frozen=True)
class Sample:
    """What some images took.

    Attributes
    ----------
    images : int
        How many.
    seconds : float
        For all of them, from file to compressed row, on one core.
    bytes : int
        Of all their rows.
    failed : dict of str to str
        Path and reason of each that has no mask.
    """

    images: int
    seconds: float
    bytes: int
    failed: dict[str, str]

    @property
    def seconds_each(self) -> float:
        """Tell how long an image takes.

        Returns
        -------
        float
            Seconds on one core; 0 for an empty sample.
        """
        return self.seconds / max(1, self.images)

    @property
    def bytes_each(self) -> float:
        """Tell how large a row is.

        Returns
        -------
        float
            Bytes; 0 for an empty sample.
        """
        return self.bytes / max(1, self.images)


def spread_rows(plan: Plan, shards: Sequence[int], most: int = MOST) -> list[int]:
    """Choose rows that lie evenly over some shards.

    Parameters
    ----------
    plan : Plan
        The store's.
    shards : sequence of int
        Numbers of the shards, in order.
    most : int
        How many rows at most.

    Returns
    -------
    list of int
        Positions in images.txt, shuffled: the first few of them are spread as well.
    """
    total = sum(len(plan.rows(shard)) for shard in shards)
    count = min(most, total)
    even = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    rows = [plan.rows(shards[p // plan.shard_size])[p % plan.shard_size] for p in even]
    return [rows[i] for i in np.random.default_rng(0).permutation(count)]


def take_sample(
    images: Path,
    names: Sequence[str],
    recipe: MaskRecipe,
    size: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Sample:
    """Make masks of some images on one core and forget them.

    Parameters
    ----------
    images : Path
        Folder that the names are relative to.
    names : sequence of str
        The images.
    recipe : MaskRecipe
        What decides a mask; compiled already, or compiling is timed too.
    size : int
        Side of a mask, in pixels.
    clock : callable
        Seconds.

    Returns
    -------
    Sample
        What those took that were done after `SECONDS`, or `FEWEST` where that takes longer.
    """
    failed: dict[str, str] = {}
    longest = max((len(escaped(name).encode()) for name in names), default=0)
    done, total = 0, 0
    with one_core():
        start = now = clock()
        for name in names:
            if done >= FEWEST and now - start >= SECONDS:
                break
            mask = np.zeros((size, size), np.uint8)
            try:
                mask = recipe(decode_reduced(read_file(images / name), recipe.side)[0], size)
            except ImageError as error:
                failed[escaped(name)] = str(error)
            # A run makes a row of this too: a method that stumbles over one image.
            except Exception as error:
                failed[escaped(name)] = f"{recipe.name} failed: {type(error).__name__}: {error}"
            total += len(compressed(mask)) + ROW_BYTES + longest
            done, now = done + 1, clock()
    return Sample(done, now - start, total, failed)
