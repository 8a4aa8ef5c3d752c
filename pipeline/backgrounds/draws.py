"""What chance decides about backgrounds: pure functions of a key."""

from collections.abc import Callable, Sequence

import numpy as np

from dilo.pipeline.common.rng import generator, permutation
from dilo.pipeline.store.backgroundrows import Box

#: What a stream of numbers is for; half of Philox's key, the seed being the other half.
ORDER, TEXTURE = range(2)


def shuffled_order(seed: int, shard: int, images: int) -> list[int]:
    """Draw the order in which the images of a shard are asked for windows."""
    order: list[int] = permutation(generator(seed, ORDER, shard), images).tolist()
    return order


def allot_windows(
    order: Sequence[int], windows: Callable[[int], int], quota: int | None
) -> dict[int, int]:
    """Take first windows of as many images as needed, then second windows, and so on.

    Returns how many to take of each image that was asked for windows; without a quota, all.
    """
    window_counts: dict[int, int] = {}
    images_with_windows = 0
    for image in order:
        if images_with_windows == quota:
            break
        window_counts[image] = windows(image)
        images_with_windows += window_counts[image] > 0
    if quota is None:
        return window_counts
    counts = dict.fromkeys(window_counts, 0)
    for already_taken in range(max(window_counts.values(), default=0)):
        for image, available in window_counts.items():
            if available > already_taken and quota:
                counts[image] += 1
                quota -= 1
    return counts


def texture_windows(
    shape: tuple[int, int], side: int, count: int, rng: np.random.Generator
) -> list[Box]:
    """Draw square windows in the endlessly repeated texture; they may overlap, and be the same.

    Two numbers are taken for each window, so more of them begin with the same. Along an axis
    where the texture is at least `side` pixels, each window that lies within is as likely; where
    it is smaller, each window that begins within.
    """
    if min(shape) < 1 or side < 1 or count < 1:
        raise ValueError(
            f"shape, side and count must be at least 1, got {shape}, {side} and {count}"
        )
    height, width = (length - side + 1 if length >= side else length for length in shape)
    # By hand: numpy may change how it draws integers, but not these numbers.
    uniform = rng.random((count, 2)).tolist()
    return [(int(top * height), int(left * width), side, side) for top, left in uniform]
