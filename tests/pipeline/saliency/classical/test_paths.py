"""Shortest paths: every path tried, and SciPy where links all cost something."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csgraph

from dilo.pipeline.saliency.classical.paths import distance_from, shortest_paths


@st.composite
def linked_costs(draw, least=0.0):
    """Draw symmetric costs, of which many are 0 unless `least` is more, and who is linked."""
    count = draw(st.integers(1, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cost = rng.random((count, count)) * 20
    cost[rng.random((count, count)) < draw(st.floats(0, 1))] = 0.0
    if draw(st.booleans()):
        cost = np.floor(cost)  # so that paths cost as much as the limit
    cost += least
    linked = rng.random((count, count)) < draw(st.floats(0, 1))
    np.fill_diagonal(linked, False)
    return np.triu(cost) + np.triu(cost, 1).T, np.triu(linked) | np.triu(linked).T


def _groups(cost, linked, limit):
    """Find the groups and their distances; of pairs, some of which are not linked."""
    pairs = np.argwhere(np.tri(len(cost), k=-1)).astype(np.int32)
    chosen = tuple(pairs.T)
    return shortest_paths(pairs, np.where(linked, cost, np.inf)[chosen], len(cost), limit)


def _all_paths(cost, linked, limit):
    """Measure the paths between all pairs, each by its groups."""
    group, between = _groups(cost, linked, limit)
    return between[np.ix_(group, group)]


def _literally(cost, linked):
    """Try all paths: by way of the first node, of the first two, ..."""
    count = len(cost)
    shortest = np.where(linked, cost, np.inf)
    np.fill_diagonal(shortest, 0.0)
    for k, i, j in itertools.product(range(count), repeat=3):
        shortest[i, j] = min(shortest[i, j], shortest[i, k] + shortest[k, j])
    return shortest


@given(linked_costs(), st.sampled_from([0.0, 3.0, 10.0, 1e3, np.inf]))
def test_paths_up_to_the_limit_are_the_shortest_of_all(graph, limit):
    cost, linked = graph
    expected = _literally(cost, linked)
    before = cost.copy()
    found = _all_paths(cost, linked, limit)
    within = expected <= limit
    assert_allclose(found[within], expected[within], rtol=1e-12)
    assert (found[~within] > limit).all()
    assert (found[np.isinf(expected)] == np.inf).all()
    assert_array_equal(found.diagonal(), 0)
    assert_array_equal(cost, before)


@given(linked_costs(), st.integers(0, 2**32 - 1))
def test_distance_is_that_of_the_nearest_source(graph, seed):
    cost, linked = graph
    sources = np.random.default_rng(seed).random(len(cost)) < 0.3
    paths = _literally(cost, linked)
    expected = [
        min((paths[i, j] for i in np.flatnonzero(sources)), default=np.inf)
        for j in range(len(cost))
    ]
    assert_allclose(distance_from(cost, linked, 0.0, sources), expected, rtol=1e-12)


@given(linked_costs(least=0.5), st.integers(0, 2**32 - 1))
def test_both_are_scipy_s_where_each_link_costs_something(graph, seed):
    cost, linked = graph
    expected = csgraph.shortest_path(np.where(linked, cost, 0.0), directed=False)
    assert_allclose(_all_paths(cost, linked, np.inf), expected, rtol=1e-12)
    sources = np.zeros(len(cost), bool)
    sources[seed % len(cost)] = True
    assert_allclose(distance_from(cost, linked, 0.0, sources), expected[sources][0], rtol=1e-12)


@given(linked_costs(), st.sampled_from([1.0, 4.0]), st.integers(0, 2**32 - 1))
def test_the_clip_is_taken_off_each_link(graph, clip, seed):
    difference, linked = graph
    cost = np.maximum(difference - clip, 0.0)
    expected = _literally(cost, linked)
    sources = np.zeros(len(cost), bool)
    sources[seed % len(cost)] = True
    found = distance_from(difference, linked, clip, sources)
    assert_allclose(found, expected[sources][0], rtol=1e-12)


def test_a_detour_that_costs_less_is_taken():
    cost = np.array([[0.0, 9.0, 1.0], [9.0, 0.0, 2.0], [1.0, 2.0, 0.0]])
    linked = ~np.eye(3, dtype=bool)
    assert _all_paths(cost, linked, 100.0)[0, 1] == 3
    assert distance_from(cost, linked, 0.0, np.array([True, False, False])).tolist() == [0, 3, 1]


@pytest.mark.parametrize("limit", [0.0, 5.0])
def test_nodes_that_free_links_join_are_one(limit):
    # 0 - 1 and 2 - 3 - 4 cost nothing; from group to group the cheaper of two links counts.
    cost = np.zeros((5, 5))
    linked = np.zeros((5, 5), bool)
    for i, j, price in [(0, 1, 0), (2, 3, 0), (3, 4, 0), (0, 2, 4), (1, 4, 3)]:
        cost[i, j] = cost[j, i] = price
        linked[i, j] = linked[j, i] = True
    groups = np.array([0, 0, 1, 1, 1])
    expected = 3 * (groups[:, np.newaxis] != groups)
    assert_array_equal(_all_paths(cost, linked, limit), expected)
    assert_array_equal(_groups(cost, linked, limit)[0], groups)


def test_what_no_path_reaches_is_infinitely_far():
    cost, linked = np.ones((2, 2)), np.zeros((2, 2), bool)
    assert _all_paths(cost, linked, np.inf).tolist() == [[0, np.inf], [np.inf, 0]]
    assert distance_from(cost, linked, 0.0, np.array([True, False])).tolist() == [0, np.inf]
    assert distance_from(cost, linked, 0.0, np.array([False, False])).tolist() == [np.inf, np.inf]
