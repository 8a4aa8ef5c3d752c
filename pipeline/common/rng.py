"""Random numbers as pure functions of a key, through Philox; nothing global."""

import numpy as np
from numpy.typing import NDArray


def generator(seed: int, stream: int, *counter: int) -> np.random.Generator:
    """Open the stream of numbers that a key owns.

    Parameters
    ----------
    seed, stream : int
        Half of the key: whose numbers, and what they are for.
    *counter : int
        The other half, up to three numbers; those left out are 0.

    Returns
    -------
    Generator
        Of 2**64 blocks of numbers, shared with no other key.
    """
    # The low word runs with the numbers taken; the words above it hold the key's other parts.
    words = np.zeros(4, np.uint64)
    words[1 : len(counter) + 1] = counter
    key = np.array((seed, stream), np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=words))


def permutation(numbers: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Permute by sorting random numbers: numpy may change its own shuffle between versions.

    Parameters
    ----------
    numbers : Generator
        From which `count` numbers are taken.
    count : int
        How many to permute.

    Returns
    -------
    ndarray of shape (count,), int64
        0 to count - 1, each once.
    """
    return np.argsort(numbers.random(count), kind="stable").astype(np.int64, copy=False)
