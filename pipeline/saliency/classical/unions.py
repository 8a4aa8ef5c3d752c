"""Sets that grow together, compiled: each member points at another one, and one at itself."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled


@compiled
def root_of(joined: NDArray[np.int64], member: int) -> int:
    """Follow a member to the one that stands for its set.

    Parameters
    ----------
    joined : ndarray of shape (N,), int64
        What each member points at: itself, where it stands for its set. Ways are shortened.
    member : int
        Any of them.

    Returns
    -------
    int
        The one that stands for its set.

    References
    ----------
    R. E. Tarjan and J. van Leeuwen, "Worst-Case Analysis of Set Union Algorithms", Journal of the
    ACM 31(2), 1984: path halving.
    """
    while joined[member] != member:
        joined[member] = joined[joined[member]]  # halves the way for whoever asks next
        member = joined[member]
    return member


@compiled
def join(joined: NDArray[np.int64], one: int, other: int) -> None:
    """Make one set of those of two members, in place; the lesser of their two stands for it.

    Parameters
    ----------
    joined : ndarray of shape (N,), int64
        As `root_of` takes it.
    one, other : int
        The members.
    """
    first, second = root_of(joined, one), root_of(joined, other)
    joined[max(first, second)] = min(first, second)


@compiled
def numbered(joined: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count off the sets in the order of their first members.

    Parameters
    ----------
    joined : ndarray of shape (N,), int64
        As `root_of` takes it.

    Returns
    -------
    ndarray of shape (N,), int64
        The number of each member's set, from 0 up.
    """
    number = np.full(len(joined), -1)
    count = 0
    for member in range(len(joined)):
        root = root_of(joined, member)
        if number[root] < 0:
            number[root] = count
            count += 1
        number[member] = number[root]
    return number
