"""Manifold ranking (MR): what ranks low against each side of the image is salient."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.classical.color import rgb_to_lab
from dilo.pipeline.saliency.classical.graph import link_weights, node_sums, pairs_of
from dilo.pipeline.saliency.classical.linear import solve
from dilo.pipeline.saliency.classical.regions import two_hop_neighbors
from dilo.pipeline.saliency.classical.superpixels import Superpixels, segment
from dilo.pipeline.saliency.parameters import MrParameters
from dilo.pipeline.saliency.values import stretch


def mr(image: NDArray[np.uint8], parameters: MrParameters) -> NDArray[np.float64]:
    """Compute saliency by manifold ranking.

    Parameters
    ----------
    image : ndarray of shape (S, S, 3), uint8
        Square RGB image.
    parameters : MrParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (S, S), float64
        Saliency in [0, 1], one value a superpixel; 0 in a frame, and everywhere if nothing
        stands out.

    References
    ----------
    C. Yang, L. Zhang, H. Lu, X. Ruan and M.-H. Yang, "Saliency Detection via Graph-Based
    Manifold Ranking", CVPR 2013.
    """
    segmentation = segment(image, parameters)
    return segmentation.paint(mr_values(segmentation.superpixels, parameters))


def mr_values(superpixels: Superpixels, parameters: MrParameters) -> NDArray[np.float64]:
    """Compute the saliency of each superpixel.

    Parameters
    ----------
    superpixels : Superpixels
        N superpixels of one image.
    parameters : MrParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (N,), float64
        Saliency stretched to [0, 1], or all 0.
    """
    ranking = ranking_matrix(superpixels, parameters)
    if ranking is None:
        return np.zeros(len(superpixels))
    labels = superpixels.labels
    background = np.ones(len(superpixels))
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        query = np.zeros(len(superpixels))
        query[side] = 1.0
        background *= 1 - stretch(ranking @ query)
    background = stretch(background)
    # Second stage: ranked anew, against what the first stage finds salient.
    return stretch(ranking @ (background >= background.mean()))


def ranking_matrix(
    superpixels: Superpixels, parameters: MrParameters
) -> NDArray[np.float64] | None:
    """Learn how high each superpixel ranks for each as the query.

    Parameters
    ----------
    superpixels : Superpixels
        N superpixels of one image.
    parameters : MrParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (N, N), float64, or None
        (D - alpha W)^-1, 0 on the diagonal, so that no query ranks itself; None where all
        links are alike, as in a picture of one colour.

    References
    ----------
    Yang et al., CVPR 2013, equations 3 and 4, and section 4.1 for the graph.
    """
    boundary = superpixels.on_boundary(1)
    steps = superpixels.neighbors() | np.logical_and.outer(boundary, boundary)
    np.fill_diagonal(steps, False)
    pairs = pairs_of(two_hop_neighbors(steps))
    weights = link_weights(rgb_to_lab(superpixels.rgb), pairs, parameters.manifold_decay)
    if weights is None:
        return None
    count = len(superpixels)
    ranking: NDArray[np.float64] = solve(
        node_sums(pairs, weights, count),
        pairs,
        -parameters.manifold_reach * weights,
        np.eye(count),
        boundary,
    )
    np.fill_diagonal(ranking, 0.0)
    return ranking
