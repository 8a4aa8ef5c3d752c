"""Absorbing Markov chain (MC): what a walk is slow to leave for the boundary is salient."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.classical.color import mc_color
from dilo.pipeline.saliency.classical.graph import at_pairs, link_weights, pairs_of, symmetric
from dilo.pipeline.saliency.classical.linear import solve
from dilo.pipeline.saliency.classical.regions import two_hop_neighbors
from dilo.pipeline.saliency.classical.superpixels import Superpixels, segment
from dilo.pipeline.saliency.parameters import McParameters
from dilo.pipeline.saliency.values import stretch


@dataclass(frozen=True)
class ChainGraph:
    """The graph that the walk is on.

    Attributes
    ----------
    adjacent : ndarray of shape (N, N), bool
        Who touches whom, at a side or a corner.
    linked : ndarray of shape (N, N), bool
        Pairs that at most two steps join, where the first and last pixel of each row and of
        each column are steps too; the diagonal False.
    on_boundary : ndarray of shape (N,), bool
        Whether the superpixel touches the image's edge.
    """

    adjacent: NDArray[np.bool_]
    linked: NDArray[np.bool_]
    on_boundary: NDArray[np.bool_]


def mc(image: NDArray[np.uint8], parameters: McParameters) -> NDArray[np.float64]:
    """Compute saliency by an absorbing Markov chain.

    Parameters
    ----------
    image : ndarray of shape (S, S, 3), uint8
        Square RGB image.
    parameters : McParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (S, S), float64
        Saliency in [0, 1], one value a superpixel; 0 in a frame, and everywhere if nothing
        stands out.

    References
    ----------
    B. Jiang, L. Zhang, H. Lu, C. Yang and M.-H. Yang, "Saliency Detection via Absorbing
    Markov Chain", ICCV 2013, as released by the authors.
    """
    segmentation = segment(image, parameters)
    return segmentation.paint(mc_values(segmentation.superpixels, parameters))


def mc_values(superpixels: Superpixels, parameters: McParameters) -> NDArray[np.float64]:
    """Compute the saliency of each superpixel.

    Parameters
    ----------
    superpixels : Superpixels
        N superpixels of one image.
    parameters : McParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (N,), float64
        Saliency stretched to [0, 1], or all 0.
    """
    graph = chain_graph(superpixels)
    weights = affinity(mc_color(superpixels.rgb), graph.linked, parameters)
    if weights is None:
        return np.zeros(len(superpixels))
    return absorbed_saliency(weights, graph, parameters)


def absorbed_saliency(
    weights: NDArray[np.float64], graph: ChainGraph, parameters: McParameters
) -> NDArray[np.float64]:
    """Turn affinities into saliency by the time to absorption.

    Parameters
    ----------
    weights : ndarray of shape (N, N), float64
        Affinities, 1 on the diagonal.
    graph : ChainGraph
        Neighbours and boundary.
    parameters : McParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (N,), float64
        Saliency stretched to [0, 1], or all 0.
    """
    degree = weights.sum(axis=1)
    outlier = degree < parameters.outlier_degree
    boundary, frame = _absorbing_nodes(weights, graph, parameters)
    chain = ~(outlier | frame)
    absorbing = boundary & chain
    if not absorbing.any():  # nowhere to be absorbed: no time is longer than another
        return np.zeros(len(weights))
    time, weighted_time = absorbed_times(weights, degree, chain, absorbing)
    if equilibrium_score(time) >= parameters.equilibrium_score:
        time = weighted_time
    saliency = np.zeros(len(weights))
    saliency[chain] = time
    for i in np.flatnonzero(outlier):  # in order: each may make the next one salient
        neighbors = saliency[graph.adjacent[i]]
        saliency[i] = float(neighbors.max(initial=0.0) > parameters.outlier_saliency)
    return saliency


def _absorbing_nodes(
    weights: NDArray[np.float64], graph: ChainGraph, parameters: McParameters
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Choose whose copies absorb, and who, being a frame, leaves the chain."""
    boundary, no_nodes = graph.on_boundary, np.zeros(len(weights), bool)
    inwards = graph.adjacent & np.logical_and.outer(boundary, ~boundary)
    if weights[inwards].sum() > parameters.frame_affinity or boundary.all():
        return boundary, no_nodes
    return graph.adjacent[boundary].any(axis=0) & ~boundary, boundary


def absorbed_times(
    weights: NDArray[np.float64],
    degree: NDArray[np.float64],
    chain: NDArray[np.bool_],
    absorbing: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Expect how long a walk takes until it is absorbed, stretched to [0, 1].

    Parameters
    ----------
    weights : ndarray of shape (N, N), float64
        Affinities, 1 on the diagonal.
    degree : ndarray of shape (N,), float64
        Their sums, those to nodes that have left the chain included: these absorb too.
    chain : ndarray of shape (N,), bool
        Nodes still in the chain, M of them.
    absorbing : ndarray of shape (N,), bool
        Nodes of the chain that have an absorbing copy.

    Returns
    -------
    ndarray of shape (M,), float64
        Where each step takes as long.
    ndarray of shape (M,), float64
        Where a step takes the longer the rarer the chain's equilibrium is at that node.

    References
    ----------
    Jiang et al., ICCV 2013, equations 2, 6 and 7: y = (I - Q)^-1 u. With Q = D^-1 W this is
    (D - W) y = D u, whose matrix is symmetric; both right-hand sides share the work.
    """
    total = degree + weights[absorbing].sum(axis=0)  # affinities are symmetric
    pairs = pairs_of(weights > 0)
    still = chain[pairs].all(axis=1)  # who has left is waited for by nobody
    rarity = 1 / degree
    equal_steps = np.where(chain, total, 0.0)
    time = solve(
        np.where(chain, total - weights.diagonal(), 1.0),
        pairs[still],
        -at_pairs(weights, pairs[still]),
        np.stack([equal_steps, equal_steps * (rarity / rarity[chain].sum())], axis=1),
        absorbing,
    )
    return stretch(time[chain, 0]), stretch(time[chain, 1])


def equilibrium_score(time: NDArray[np.float64]) -> float:
    """Score how much of absorption times lies between short and long.

    Parameters
    ----------
    time : ndarray of shape (M,), float64
        In [0, 1].

    Returns
    -------
    float
        1 where all times are at an end of ten equal bins, up to 5 where all are in the middle.

    References
    ----------
    Jiang et al., ICCV 2013, equation 8.
    """
    bins = np.minimum((10 * time).astype(np.int64), 9)
    share = np.bincount(bins, minlength=10) / len(time)
    return float(share @ np.minimum(np.arange(1, 11), np.arange(10, 0, -1)))


def chain_graph(superpixels: Superpixels) -> ChainGraph:
    """Link superpixels that are near, opposite sides of the image among them.

    Parameters
    ----------
    superpixels : Superpixels
        N superpixels of one image.

    Returns
    -------
    ChainGraph
        Neighbours, links and boundary.
    """
    labels = superpixels.labels
    adjacent = superpixels.neighbors()
    steps = adjacent.copy()
    for first, last in ((labels[0], labels[-1]), (labels[:, 0], labels[:, -1])):
        steps[first, last] = steps[last, first] = True
    np.fill_diagonal(steps, False)
    return ChainGraph(adjacent, two_hop_neighbors(steps), superpixels.on_boundary(1))


def affinity(
    color: NDArray[np.float64], linked: NDArray[np.bool_], parameters: McParameters
) -> NDArray[np.float64] | None:
    """Weigh links by the likeness of their ends, on the scale of this image's differences.

    Parameters
    ----------
    color : ndarray of shape (N, 3), float64
        Colours, as `mc_color` gives them.
    linked : ndarray of shape (N, N), bool
        Which pairs are linked, the diagonal False.
    parameters : McParameters
        The two that start with ``affinity_``.

    Returns
    -------
    ndarray of shape (N, N), float64, or None
        1 on the diagonal, 0 where there is no link; None where all links are alike, as in a
        picture of one colour, and so none says anything.

    References
    ----------
    Jiang et al., ICCV 2013, equation 5; stretch and floor are the released code's.
    """
    pairs = pairs_of(linked)
    links = link_weights(color, pairs, parameters.affinity_decay)
    if links is None:
        return None
    weights = symmetric(pairs, links + parameters.affinity_floor, len(linked))
    np.fill_diagonal(weights, 1.0)
    return weights
