"""Which images each group of a batch holds, as detectron2 deals them, from a seed alone."""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from dilo.eval.detect.annotations import DetectionSet
from dilo.eval.detect.recipe import DetectionRecipe
from dilo.pipeline.errors import DiloError
from dilo.train.data.draws import sample_order
from dilo.train.runtime import distributed


class SampleKey(NamedTuple):
    """Where in a training a sample stands; it decides all that is drawn about it."""

    #: Iterations before this one.
    iteration: int
    #: Its group of the batch, over all ranks.
    group: int
    #: Its place in the group.
    place: int
    #: Which image of the set.
    image: int


class GroupedBatches(Sampler[list[SampleKey]]):
    """The share of this rank in the batches from an iteration on: its groups, one after another.

    The images are shuffled again and again. Group g of G takes every G-th of that stream from the
    g-th on, and puts it into one of two buckets: wider than high, or not. A bucket that holds as
    many images as a group is a batch of it, so that little is padded.

    Parameters
    ----------
    data : DetectionSet
        The images.
    recipe : DetectionRecipe
        Seed, batch, groups and iterations.
    start : int, default 0
        Iterations already taken.
    stop : int, optional
        Iterations after which there are no more batches; those of the recipe unless given.

    Raises
    ------
    DiloError
        If the ranks cannot share the groups.
    """

    def __init__(
        self,
        data: DetectionSet,
        recipe: DetectionRecipe,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        ranks = distributed.world_size()
        if recipe.groups % ranks:
            raise DiloError(
                f"--groups must be a multiple of the {ranks} processes, got {recipe.groups}: give "
                f"--groups {ranks} or a multiple, or start fewer processes"
            )
        self._wide = np.array([image.width > image.height for image in data.images])
        self._recipe, self._start = recipe, start
        self._stop = recipe.schedule.iterations if stop is None else stop
        share = recipe.groups // ranks
        self._groups = range(distributed.rank() * share, (distributed.rank() + 1) * share)

    def __len__(self) -> int:
        return max(0, self._stop - self._start)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        seed, groups, size = self._recipe.seed, self._recipe.groups, self._recipe.per_group
        orders = _Orders(seed, len(self._wide))
        streams = [
            _group_batches(orders, self._wide, group, groups, size) for group in self._groups
        ]
        for iteration in range(self._stop):
            batches = [next(stream) for stream in streams]
            if iteration >= self._start:
                yield [
                    SampleKey(iteration, group, place, image)
                    for group, batch in zip(self._groups, batches, strict=True)
                    for place, image in enumerate(batch)
                ]


class _Orders:
    """The shuffles of a set, of which all groups read the same few at a time."""

    def __init__(self, seed: int, count: int) -> None:
        self.count = count
        self.order = functools.lru_cache(maxsize=4)(lambda epoch: sample_order(seed, epoch, count))


def _group_batches(
    orders: _Orders, wide: NDArray[np.bool_], group: int, groups: int, size: int
) -> Iterator[Sequence[int]]:
    """Give the batches of a group, without end."""
    buckets: dict[bool, list[int]] = {True: [], False: []}
    position = group
    while True:
        epoch, row = divmod(position, orders.count)
        image = int(orders.order(epoch)[row])
        bucket = buckets[bool(wide[image])]
        bucket.append(image)
        if len(bucket) == size:
            yield tuple(bucket)
            bucket.clear()
        position += groups
