"""Symmetric systems of equations, compiled: no threads, and the same digits everywhere."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled

#: Rows and columns of a block. The elimination names each row of one by itself.
_BLOCK = 8


def solve(
    diagonal: NDArray[np.float64],
    pairs: NDArray[np.int32],
    entries: NDArray[np.float64],
    right: NDArray[np.float64],
    last: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Solve a symmetric positive definite system, by Gauss's elimination in blocks.

    Such a matrix needs no pivots, and only one half of it takes part: the work of Cholesky's
    method. Blocks in which all is 0 are skipped, and a graph's matrix has many of them; those that
    an elimination fills are fewer where unknowns that hang on many others come last. LAPACK knows
    nothing of empty blocks, and its threads and its digits are the machine's own.

    Parameters
    ----------
    diagonal : ndarray of shape (N,), float64
        The matrix's.
    pairs : ndarray of shape (P, 2), int32
        Where else it has entries, either half of it; no place twice.
    entries : ndarray of shape (P,), float64
        These.
    right : ndarray of shape (N, M), float64
        Right-hand sides, one a column.
    last : ndarray of shape (N,), bool, optional
        The unknowns that are eliminated last; unless given, they are taken as they come.

    Returns
    -------
    ndarray of shape (N, M), float64
        The solutions.

    Raises
    ------
    ValueError
        If the matrix is not positive definite.

    References
    ----------
    A. George and J. W. Liu, "Computer Solution of Large Sparse Positive Definite Systems",
    Prentice-Hall, 1981, chapter 6, on partitions into blocks and their order.
    """
    size, sides = right.shape
    count = -(-size // _BLOCK)
    place = np.arange(size)
    if last is not None:
        place[np.argsort(last, kind="stable")] = np.arange(size)
    blocks, filled = _in_blocks(diagonal, pairs, entries, place, count)
    solution = np.zeros((count * _BLOCK, sides))
    solution[place] = right
    if not _eliminate(blocks, filled, solution):
        raise ValueError("matrix must be positive definite, got one that is not")
    _substitute_back(blocks, filled, solution)
    return solution[place]


@compiled
def _in_blocks(
    diagonal: NDArray[np.float64],
    pairs: NDArray[np.int32],
    entries: NDArray[np.float64],
    place: NDArray[np.int64],
    count: int,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Put the upper half into rows of blocks, each unknown in its place; after it, the identity.

    Also returns which blocks have an entry.
    """
    blocks = np.zeros((count * _BLOCK, count, _BLOCK))
    filled = np.zeros((count, count), np.bool_)
    for i in range(len(blocks)):
        blocks[i, i // _BLOCK, i % _BLOCK] = 1.0
    for i in range(len(diagonal)):
        blocks[place[i], place[i] // _BLOCK, place[i] % _BLOCK] = diagonal[i]
    for pair in range(len(pairs)):
        i, j = place[pairs[pair, 0]], place[pairs[pair, 1]]
        row, column = min(i, j), max(i, j)
        blocks[row, column // _BLOCK, column % _BLOCK] = entries[pair]
        filled[row // _BLOCK, column // _BLOCK] = True
    return blocks, filled


@compiled
def _eliminate(
    blocks: NDArray[np.float64], filled: NDArray[np.bool_], solution: NDArray[np.float64]
) -> bool:
    """Make the system triangular, in place, a row of blocks at a time; False if it cannot be."""
    count = len(filled)
    columns = np.empty(count, np.int64)
    for pivot in range(count):
        width = 0
        for block in range(pivot + 1, count):
            if filled[pivot, block]:
                columns[width] = block
                width += 1
        if not _eliminate_within(blocks, solution, pivot, columns[:width]):
            return False
        for place in range(width):
            for block in columns[place:width]:
                filled[columns[place], block] = True
            _subtract(blocks, solution, pivot, columns[place:width])
    return True


@compiled
def _eliminate_within(
    blocks: NDArray[np.float64],
    solution: NDArray[np.float64],
    pivot: int,
    columns: NDArray[np.int64],
) -> bool:
    """Eliminate inside a row of blocks, in place; False if a pivot is not positive."""
    first = pivot * _BLOCK
    for k in range(_BLOCK):
        row = blocks[first + k]
        if not row[pivot, k] > 0:
            return False
        for i in range(k + 1, _BLOCK):
            factor = row[pivot, i] / row[pivot, k]
            if factor == 0:
                continue
            below = blocks[first + i]
            for j in range(i, _BLOCK):
                below[pivot, j] -= factor * row[pivot, j]
            for block in columns:
                for j in range(_BLOCK):
                    below[block, j] -= factor * row[block, j]
            for side in range(solution.shape[1]):
                solution[first + i, side] -= factor * solution[first + k, side]
    return True


@compiled
def _subtract(
    blocks: NDArray[np.float64],
    solution: NDArray[np.float64],
    pivot: int,
    columns: NDArray[np.int64],
) -> None:
    """Subtract multiples of eight rows from those of the first of some blocks, in place.

    Of all eight at once, so that what they are subtracted from is read and written once.
    """
    first, here = pivot * _BLOCK, columns[0]
    factors = np.empty(_BLOCK)
    for inner in range(_BLOCK):
        is_linked = False
        for k in range(_BLOCK):
            entry = blocks[first + k, here, inner]
            factors[k] = entry / blocks[first + k, pivot, k]
            is_linked |= entry != 0
        if not is_linked:
            continue
        row = here * _BLOCK + inner
        p, q, r, s = factors[0], factors[1], factors[2], factors[3]
        t, u, v, w = factors[4], factors[5], factors[6], factors[7]
        for block in columns:
            below = blocks[row, block]
            a, b = blocks[first, block], blocks[first + 1, block]
            c, d = blocks[first + 2, block], blocks[first + 3, block]
            e, f = blocks[first + 4, block], blocks[first + 5, block]
            g, h = blocks[first + 6, block], blocks[first + 7, block]
            for j in range(_BLOCK):
                half = (p * a[j] + q * b[j]) + (r * c[j] + s * d[j])
                below[j] -= half + ((t * e[j] + u * f[j]) + (v * g[j] + w * h[j]))
        _subtract_eight(solution[row], factors, solution[first : first + _BLOCK])


@compiled
def _subtract_eight(
    target: NDArray[np.float64], factors: NDArray[np.float64], rows: NDArray[np.float64]
) -> None:
    """Subtract eight rows, each times a factor, from another, in place."""
    p, q, r, s = factors[0], factors[1], factors[2], factors[3]
    t, u, v, w = factors[4], factors[5], factors[6], factors[7]
    for j in range(len(target)):
        half = (p * rows[0, j] + q * rows[1, j]) + (r * rows[2, j] + s * rows[3, j])
        rest = (t * rows[4, j] + u * rows[5, j]) + (v * rows[6, j] + w * rows[7, j])
        target[j] -= half + rest


@compiled
def _substitute_back(
    blocks: NDArray[np.float64], filled: NDArray[np.bool_], solution: NDArray[np.float64]
) -> None:
    """Solve the triangular system, from its last row up, in place."""
    count, sides = len(filled), solution.shape[1]
    for pivot in range(count - 1, -1, -1):
        for block in range(pivot + 1, count):
            if not filled[pivot, block]:
                continue
            for i in range(pivot * _BLOCK, (pivot + 1) * _BLOCK):
                below = solution[block * _BLOCK : (block + 1) * _BLOCK]
                _subtract_eight(solution[i], blocks[i, block], below)
        for k in range(_BLOCK - 1, -1, -1):
            row, here = blocks[pivot * _BLOCK + k, pivot], solution[pivot * _BLOCK + k]
            for j in range(k + 1, _BLOCK):
                factor, below = row[j], solution[pivot * _BLOCK + j]
                for side in range(sides):
                    here[side] -= factor * below[side]
            for side in range(sides):
                here[side] /= row[k]
