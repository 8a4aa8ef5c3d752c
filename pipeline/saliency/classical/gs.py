"""Geodesic saliency (GS): what no path of even colour joins to the image's boundary is salient."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.classical.graph import ColorGraph, color_graph, pairwise_distance
from dilo.pipeline.saliency.classical.paths import distance_from
from dilo.pipeline.saliency.classical.superpixels import segment
from dilo.pipeline.saliency.parameters import GsParameters
from dilo.pipeline.saliency.values import stretch


def gs(image: NDArray[np.uint8], parameters: GsParameters) -> NDArray[np.float64]:
    """Compute geodesic saliency.

    Parameters
    ----------
    image : ndarray of shape (S, S, 3), uint8
        Square RGB image.
    parameters : GsParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (S, S), float64
        Saliency in [0, 1], one value a superpixel; 0 in a frame, and everywhere if nothing
        stands out.

    References
    ----------
    Y. Wei, F. Wen, W. Zhu and J. Sun, "Geodesic Saliency Using Background Priors", ECCV 2012,
    as released by the authors of RBD (24 March 2014).
    """
    segmentation = segment(image, parameters)
    return segmentation.paint(gs_values(color_graph(segmentation, parameters), parameters))


def gs_values(graph: ColorGraph, parameters: GsParameters) -> NDArray[np.float64]:
    """Compute the saliency of each superpixel.

    Parameters
    ----------
    graph : ColorGraph
        N superpixels of one image.
    parameters : GsParameters
        Every constant of the method.

    Returns
    -------
    ndarray of shape (N,), float64
        Saliency stretched to [0, 1], or all 0.
    """
    background = background_superpixels(graph, parameters)
    distance = distance_from(graph.difference, graph.linked, graph.clip, background)
    top = max(1, int(parameters.top_superpixels * len(distance) + 0.5))
    full = np.sort(distance)[-top]
    if full > 0:
        distance = np.minimum(distance / full, 1.0)
    return stretch(distance)


def background_superpixels(graph: ColorGraph, parameters: GsParameters) -> NDArray[np.bool_]:
    """Choose the boundary's superpixels that are background: those the rest of it is like.

    Parameters
    ----------
    graph : ColorGraph
        N superpixels of one image.
    parameters : GsParameters
        The four that start with ``boundary_``.

    Returns
    -------
    ndarray of shape (N,), bool
        True for at least one of the boundary, and for none inside.

    References
    ----------
    Wei et al., ECCV 2012, section 3.1; a hard decision in the released code.
    """
    boundary = np.flatnonzero(graph.on_boundary)
    nearest = int(parameters.boundary_nearest * len(graph.position) / 200 + 0.5)
    nearest = min(max(1, nearest), len(boundary) - 1)
    if nearest == 0:  # a single superpixel
        return graph.on_boundary
    separation = pairwise_distance(graph.position[boundary])
    separation *= parameters.boundary_distance
    dissimilarity = graph.difference[np.ix_(boundary, boundary)] / (1 + separation)
    np.fill_diagonal(dissimilarity, np.inf)
    remoteness = np.sort(dissimilarity, axis=1)[:, :nearest].mean(axis=1)
    spread = remoteness.max() - remoteness.min()
    if spread <= parameters.boundary_spread:
        return graph.on_boundary
    background = np.zeros_like(graph.on_boundary)
    background[boundary] = (remoteness - remoteness.min()) / spread <= parameters.boundary_remote
    return background
