"""Symmetric systems of equations, compiled: no threads, and the same digits everywhere."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled


@compiled
def solve(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve a symmetric positive definite system, by Gauss's elimination.

    Such a matrix needs no pivots, and only one half of it takes part: the work of Cholesky's
    method. LAPACK is as fast, but its threads and its digits are the machine's own.

    Parameters
    ----------
    matrix : ndarray of shape (N, N), float64
        Symmetric positive definite.
    right : ndarray of shape (N, M), float64
        Right-hand sides, one a column.

    Returns
    -------
    ndarray of shape (N, M), float64
        The solutions.

    Raises
    ------
    ValueError
        If the matrix is not positive definite.
    """
    size, sides = right.shape
    upper, solution = matrix.copy(), right.copy()
    for first in range(0, size, 4):
        last = min(first + 4, size)
        for k in range(first, last):
            row = upper[k]
            if not row[k] > 0:
                raise ValueError("matrix must be positive definite, got one that is not")
            for i in range(k + 1, last):
                factor, below = row[i] / row[k], upper[i]
                for j in range(i, size):
                    below[j] -= factor * row[j]
                for side in range(sides):
                    solution[i, side] -= factor * solution[k, side]
        if last == size:
            break
        # Four rows at once from all below: these are read and written a quarter as often.
        a, b, c, d = upper[first], upper[first + 1], upper[first + 2], upper[first + 3]
        for i in range(last, size):
            p, q = a[i] / a[first], b[i] / b[first + 1]
            r, s = c[i] / c[first + 2], d[i] / d[first + 3]
            if p == 0 and q == 0 and r == 0 and s == 0:  # half of a graph's matrix
                continue
            below = upper[i]
            for j in range(i, size):
                below[j] -= p * a[j] + q * b[j] + r * c[j] + s * d[j]
            for side in range(sides):
                total = p * solution[first, side] + q * solution[first + 1, side]
                total += r * solution[first + 2, side] + s * solution[first + 3, side]
                solution[i, side] -= total
    _substitute_back(upper, solution)
    return solution


@compiled
def _substitute_back(upper: NDArray[np.float64], solution: NDArray[np.float64]) -> None:
    """Solve a triangular system, from its last row up, in place."""
    size, sides = solution.shape
    for i in range(size - 1, -1, -1):
        row, here = upper[i], solution[i]
        for j in range(i + 1, size):
            factor, below = row[j], solution[j]
            if factor != 0:
                for side in range(sides):
                    here[side] -= factor * below[side]
        for side in range(sides):
            here[side] /= row[i]
