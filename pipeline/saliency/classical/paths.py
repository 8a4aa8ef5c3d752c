"""Shortest paths along the graph, compiled: between all superpixels, or from some to all."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled
from dilo.pipeline.saliency.classical.unions import join, numbered


@compiled
def shortest_paths(
    pairs: NDArray[np.int32], cost: NDArray[np.float64], count: int, limit: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the cost of the cheapest path between all pairs of nodes.

    Nodes that a path costing nothing joins are as far from everything: they become one
    first, a group, which leaves a fraction of them to Floyd and Warshall's cubic loops.

    Parameters
    ----------
    pairs : ndarray of shape (P, 2), int32
        Linked nodes, each pair once, in either order.
    cost : ndarray of shape (P,), float64
        Cost of each link, at least 0; ``inf`` where there is none after all.
    count : int
        Number of nodes, N.
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
    joined = np.arange(count)
    for pair in range(len(pairs)):
        if cost[pair] == 0:
            join(joined, pairs[pair, 0], pairs[pair, 1])
    group = numbered(joined)
    between = np.full((group.max() + 1, group.max() + 1), np.inf)
    for pair in range(len(pairs)):
        i, j = group[pairs[pair, 0]], group[pairs[pair, 1]]
        between[i, j] = between[j, i] = min(between[i, j], cost[pair])
    _relax(between, limit)
    return group, between


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
