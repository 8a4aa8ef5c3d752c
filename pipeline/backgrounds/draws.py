"""What chance decides about backgrounds: pure functions of a key, through Philox."""

from collections.abc import Callable, Sequence

import numpy as np

#: What a stream of numbers is for; half of Philox's key, the seed being the other half.
ORDER, TEXTURE = range(2)


def visiting_order(seed: int, shard: int, images: int) -> list[int]:
    """Draw the order in which the images of a shard are asked for windows.

    Parameters
    ----------
    seed, shard : int
        The key.
    images : int
        How many images the shard has.

    Returns
    -------
    list of int
        A permutation of 0 to images - 1.
    """
    # By sorting random numbers: numpy may change its own shuffle between versions.
    order: list[int] = np.argsort(
        generator(seed, ORDER, shard).random(images), kind="stable"
    ).tolist()
    return order


def taken(order: Sequence[int], windows: Callable[[int], int], quota: int | None) -> dict[int, int]:
    """Take first windows of as many images as needed, then second windows, and so on.

    Parameters
    ----------
    order : sequence of int
        The images, in the order in which they are visited.
    windows : callable
        From an image to the number of its windows; not asked where it is not needed.
    quota : int or None
        How many windows are wanted; None for all.

    Returns
    -------
    dict of int to int
        How many windows of each image that was visited are taken. Where all were, and
        the quota is not met, all of their windows.
    """
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


def generator(seed: int, stream: int, number: int) -> np.random.Generator:
    """Open the stream of numbers that a key owns.

    Parameters
    ----------
    seed, stream, number : int
        The key: a store's seed, what the numbers are for, and of which shard or image.

    Returns
    -------
    Generator
        Of 2**64 blocks of numbers, shared with no other key.
    """
    words, key = np.array((0, number, 0, 0), np.uint64), np.array((seed, stream), np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=words))
