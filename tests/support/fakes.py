"""A recipe and a clock that take no time and say what they are told."""

import itertools
from collections.abc import Callable, Collection

import numpy as np

from dilo.pipeline.compute.shard import ShardOpener, per_image_work
from dilo.pipeline.images import decode_content


class Fake:
    """A recipe that gives one mask, in no time."""

    name, side = "fake", 32

    def __init__(self, bad: Collection[int] = ()) -> None:
        self.bad, self.calls = bad, 0

    def __call__(self, image: np.ndarray, size: int) -> np.ndarray:
        self.calls += 1
        if self.calls in self.bad:
            raise ZeroDivisionError("by nothing")
        return np.full((size, size), 7, np.uint8)


def fake_maker(recipe: Callable[[np.ndarray, int], np.ndarray], size: int) -> ShardOpener:
    """Make rows by such a recipe."""

    def make(path: str, content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        image = decode_content(content)
        return recipe(image, size), image.shape[:2]

    return per_image_work(make, size)


def ticking(step: float) -> Callable[[], float]:
    """Give a clock that goes on by so many seconds whenever it is asked."""
    return itertools.count(0.0, step).__next__
