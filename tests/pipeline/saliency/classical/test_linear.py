"""Systems of equations: against LAPACK, and what cannot be solved is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from dilo.pipeline.saliency.classical.linear import solve


def _solve(matrix, right, last=None):
    """Solve by the entries of the lower half that are not 0."""
    pairs = np.argwhere(np.tril(matrix, -1)).astype(np.int32)
    return solve(np.diag(matrix).copy(), pairs, matrix[tuple(pairs.T)], right, last)


def _definite(size, seed, density=1.0):
    """Make a symmetric positive definite matrix, as a graph's: much of it 0 if so asked."""
    rng = np.random.default_rng(seed)
    weights = rng.random((size, size)) * (rng.random((size, size)) < density)
    weights = np.triu(weights, 1)
    weights += weights.T
    return np.diag(weights.sum(axis=1) + rng.random(size) + 0.1) - weights


@pytest.mark.parametrize("density", [1.0, 0.3, 0.02, 0.0])
def test_the_solution_is_lapack_s_for_any_size(density):
    for size in range(1, 41):
        matrix = _definite(size, size, density)
        right = np.random.default_rng(0).normal(size=(size, 1 + size % 3))
        before, wanted = matrix.copy(), right.copy()
        assert_allclose(
            _solve(matrix, right), np.linalg.solve(matrix, right), rtol=1e-9, atol=1e-12
        )
        assert_array_equal(matrix, before)
        assert_array_equal(right, wanted)


@given(st.integers(1, 15), st.integers(1, 15), st.integers(0, 2**32 - 1))
def test_a_matrix_without_the_signs_of_a_graph_s_is_solved_too(size, sides, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    matrix = root @ root.T + 0.1 * np.eye(size)
    right = rng.normal(size=(size, sides))
    found = _solve(matrix, right)
    assert_allclose(matrix @ found, right, atol=1e-9)
    assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("size", [1, 4, 7, 180])
def test_the_identity_on_the_right_gives_the_inverse(size):
    matrix = _definite(size, 1, 0.2)
    assert_allclose(_solve(matrix, np.eye(size)), np.linalg.inv(matrix), atol=1e-11)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 60])
def test_it_does_not_matter_which_half_is_given_or_who_comes_last(size):
    matrix = _definite(size, 3, 0.2)
    right = np.random.default_rng(1).normal(size=(size, 2))
    expected = np.linalg.solve(matrix, right)
    pairs = np.argwhere(np.triu(matrix, 1)).astype(np.int32)
    upper = solve(np.diag(matrix).copy(), pairs, matrix[tuple(pairs.T)], right)
    assert_allclose(upper, expected, rtol=1e-9, atol=1e-12)
    for last in (np.zeros(size, bool), np.ones(size, bool), right[:, 0] > 0):
        assert_allclose(_solve(matrix, right, last), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 4, 5, 11])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_a_matrix_that_is_not_positive_definite_is_refused(size, value):
    for place in range(size):
        matrix = np.eye(size)
        matrix[place, place] = value
        with pytest.raises(ValueError, match="must be positive definite, got one that is not"):
            _solve(matrix, np.ones((size, 1)))


def test_a_singular_matrix_is_refused():
    with pytest.raises(ValueError, match="positive definite"):
        _solve(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.ones((2, 1)))
