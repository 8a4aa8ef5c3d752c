"""Shortest paths along the graph, compiled: between all superpixels, or from some to all."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled


@compiled
def shortest_paths(
    difference: NDArray[np.float64], linked: NDArray[np.bool_], clip: float, limit: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the cost of the cheapest path between all pairs of nodes.

    Nodes that a path costing nothing joins are as far from everything: they become one
    first, a group, which leaves a fraction of them to Floyd and Warshall's cubic loops.

    Parameters
    ----------
    difference : ndarray of shape (N, N), float64
        Symmetric differences; a link costs its own less the clip, but never less than nothing.
    linked : ndarray of shape (N, N), bool
        Symmetric: which pairs are linked.
    clip : float
        The difference that costs nothing.
    limit : float
        Paths that cost more are of no interest.

    Returns
    -------
    ndarray of shape (N,), int64
        The group of each node, 0 to G - 1.
    ndarray of shape (G, G), float64
        Symmetric cost between groups, 0 on the diagonal. Exact where at most `limit`, and
        elsewhere some number above it; ``inf`` where no path leads.

    References
    ----------
    R. W. Floyd, "Algorithm 97: Shortest Path", Communications of the ACM 5(6), 1962.
    """
    neighbors, degree = _neighbor_lists(linked)
    group, count = _zero_cost_groups(difference, clip, neighbors, degree)
    between = np.full((count, count), np.inf)
    for i in range(len(group)):
        row = between[group[i]]
        for j in neighbors[i, : degree[i]]:
            row[group[j]] = min(row[group[j]], max(difference[i, j] - clip, 0.0))
    _relax(between, limit)
    return group, between


@compiled
def _neighbor_lists(
    linked: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """List each node's neighbours, and count them."""
    size = len(linked)
    neighbors = np.empty((size, size), np.int32)
    degree = np.zeros(size, np.int64)
    for i in range(size):
        end = 0
        for j in range(size):
            neighbors[i, end] = j  # overwritten by the next, unless it is one
            end += linked[i, j]
            if end == size:
                break
        degree[i] = end
    return neighbors, degree


@compiled
def _relax(between: NDArray[np.float64], limit: float) -> None:
    """Let paths lead through every node in turn, in place; one half of the matrix will do."""
    count = len(between)
    through = np.empty(count)
    for k in range(count):
        through[:k], through[k], through[k + 1 :] = between[k, :k], 0.0, between[k + 1 :, k]
        for i in range(count):
            first, row = through[i], between[i]
            if first <= limit and i != k:
                for j in range(i):
                    row[j] = min(row[j], first + through[j])
    for i in range(count):
        between[i, i] = 0.0
        between[:i, i] = between[i, :i]


@compiled
def distance_from(
    difference: NDArray[np.float64],
    linked: NDArray[np.bool_],
    clip: float,
    sources: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Find the cost of the cheapest path from the nearest of some nodes to every node.

    Parameters
    ----------
    difference : ndarray of shape (N, N), float64
        Symmetric differences; a link costs its own less the clip, but never less than nothing.
    linked : ndarray of shape (N, N), bool
        Symmetric: which pairs are linked.
    clip : float
        The difference that costs nothing.
    sources : ndarray of shape (N,), bool
        Where a path may start.

    Returns
    -------
    ndarray of shape (N,), float64
        0 at the sources, ``inf`` where no path leads.

    References
    ----------
    E. W. Dijkstra, "A Note on Two Problems in Connexion with Graphs", Numerische Mathematik 1,
    1959.
    """
    distance = np.where(sources, 0.0, np.inf)
    waiting = np.ones(len(sources), np.bool_)
    for _ in range(len(sources)):
        nearest, shortest = -1, np.inf
        for node in range(len(sources)):
            if waiting[node] and distance[node] < shortest:
                nearest, shortest = node, distance[node]
        if nearest < 0:
            break
        waiting[nearest] = False
        for node in range(len(sources)):
            if linked[nearest, node]:
                cost = max(difference[nearest, node] - clip, 0.0)
                distance[node] = min(distance[node], shortest + cost)
    return distance


@compiled
def _zero_cost_groups(
    difference: NDArray[np.float64],
    clip: float,
    neighbors: NDArray[np.int32],
    degree: NDArray[np.int64],
) -> tuple[NDArray[np.int64], int]:
    """Find the groups of nodes that links costing nothing join: each node's, and how many."""
    size = len(difference)
    group = np.full(size, -1)
    pending = np.empty(size, np.int64)
    count = 0
    for first in range(size):
        if group[first] >= 0:
            continue
        group[first], pending[0], waiting = count, first, 1
        while waiting:
            waiting -= 1
            i = pending[waiting]
            for j in neighbors[i, : degree[i]]:
                if group[j] < 0 and difference[i, j] <= clip:
                    group[j], pending[waiting] = count, j
                    waiting += 1
        count += 1
    return group, count
