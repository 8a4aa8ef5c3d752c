"""Shortest paths along the graph, compiled: between all superpixels, or from some to all."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled


@compiled
def shortest_paths(
    cost: NDArray[np.float64], linked: NDArray[np.bool_], limit: float
) -> NDArray[np.float64]:
    """Find the cost of the cheapest path between all pairs of nodes.

    Nodes that a path costing nothing joins are as far from everything: they become one
    first, which leaves a fraction of them to Floyd and Warshall's cubic loops.

    Parameters
    ----------
    cost : ndarray of shape (N, N), float64
        Symmetric cost of each link, at least 0.
    linked : ndarray of shape (N, N), bool
        Symmetric: which pairs are linked.
    limit : float
        Paths that cost more are of no interest.

    Returns
    -------
    ndarray of shape (N, N), float64
        Symmetric, 0 on the diagonal. Exact where at most `limit`, and elsewhere some number
        above it; ``inf`` where no path leads.

    References
    ----------
    R. W. Floyd, "Algorithm 97: Shortest Path", Communications of the ACM 5(6), 1962.
    """
    node, count = _zero_cost_groups(cost, linked)
    between = np.full((count, count), np.inf)
    for i in range(len(cost)):
        for j in range(len(cost)):
            if linked[i, j] and cost[i, j] < between[node[i], node[j]]:
                between[node[i], node[j]] = cost[i, j]
    _relax(between, limit)
    distance = np.empty_like(cost)
    for i in range(len(cost)):
        for j in range(len(cost)):
            distance[i, j] = between[node[i], node[j]]
    return distance


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
    cost: NDArray[np.float64], linked: NDArray[np.bool_], sources: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Find the cost of the cheapest path from the nearest of some nodes to every node.

    Parameters
    ----------
    cost : ndarray of shape (N, N), float64
        Symmetric cost of each link, at least 0.
    linked : ndarray of shape (N, N), bool
        Symmetric: which pairs are linked.
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
    waiting = np.ones(len(cost), np.bool_)
    for _ in range(len(cost)):
        nearest, shortest = -1, np.inf
        for node in range(len(cost)):
            if waiting[node] and distance[node] < shortest:
                nearest, shortest = node, distance[node]
        if nearest < 0:
            break
        waiting[nearest] = False
        for node in range(len(cost)):
            if linked[nearest, node]:
                distance[node] = min(distance[node], shortest + cost[nearest, node])
    return distance


@compiled
def _zero_cost_groups(
    cost: NDArray[np.float64], linked: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], int]:
    """Find the groups of nodes that links costing nothing join: each node's, and how many."""
    size = len(cost)
    node = np.full(size, -1)
    pending = np.empty(size, np.int64)
    count = 0
    for first in range(size):
        if node[first] >= 0:
            continue
        node[first], pending[0], waiting = count, first, 1
        while waiting:
            waiting -= 1
            i = pending[waiting]
            for j in range(size):
                if node[j] < 0 and linked[i, j] and cost[i, j] == 0:
                    node[j], pending[waiting] = count, j
                    waiting += 1
        count += 1
    return node, count
