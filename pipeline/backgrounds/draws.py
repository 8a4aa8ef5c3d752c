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
    """Take first windows of as many images as needed, then second windows, and so on."""
    found: dict[int, int] = {}
    firsts = 0
    for image in order:
        if firsts == quota:
            break
        found[image] = windows(image)
        firsts += found[image] > 0
    if quota is None:
        return found
    counts = dict.fromkeys(found, 0)
    for turn in range(max(found.values(), default=0)):
        for image, there in found.items():
            if there > turn and quota:
                counts[image] += 1
                quota -= 1
    return counts


def texture_windows(
    shape: tuple[int, int], side: int, count: int, rng: np.random.Generator
) -> list[Box]:
    """Draw square windows in the endlessly repeated texture."""
    if min(shape) < 1 or side < 1 or count < 1:
        raise ValueError(
            f"shape, side and count must be at least 1, got {shape}, {side} and {count}"
        )
    height, width = (length - side + 1 if length >= side else length for length in shape)
    # By hand: numpy may change how it draws integers, but not these numbers.
    uniform = rng.random((count, 2)).tolist()
    return [(int(top * height), int(left * width), side, side) for top, left in uniform]
