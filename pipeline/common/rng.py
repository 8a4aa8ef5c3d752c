"""Random numbers as pure functions of a key, through Philox; nothing global."""

import numpy as np
from numpy.typing import NDArray


def generator(seed: int, stream: int, *counter: int) -> np.random.Generator:
    """Open the stream of numbers that a key owns.

    Its parts are the seed, what the numbers are for, and up to three more; those left out are 0.
    """
    # The low word runs with the numbers taken; the words above it hold the key's other parts.
    words = np.zeros(4, np.uint64)
    words[1 : len(counter) + 1] = counter
    key = np.array((seed, stream), np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=words))


def permutation(numbers: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Permute by sorting random numbers: numpy may change its own shuffle between versions."""
    return np.argsort(numbers.random(count), kind="stable").astype(np.int64, copy=False)
