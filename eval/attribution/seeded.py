"""A rough map to a mask: the graph cut that it seeds, and of that the largest part."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dilo.eval.attribution.graphcut import Seeds, color_energy, minimal_cut, seeds_of
from dilo.eval.attribution.maskmethods import GradientParameters
from dilo.eval.attribution.pixelgraph import geodesic_forest
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency.cuts.colormodels import NO_RECTANGLE, empty_models

#: Parts an image, (S, S, 3) uint8, into foreground, (S, S) bool, and background.
Cut: TypeAlias = Callable[[NDArray[np.uint8], Seeds, GradientParameters], NDArray[np.bool_]]


def segmented(
    image: NDArray[np.uint8], saliency: NDArray[np.float64], parameters: GradientParameters
) -> NDArray[np.float64]:
    """Make a mask of a map by the graph cut that its quantiles seed.

    Parameters
    ----------
    image : ndarray of shape (S, S, 3), uint8
        Square RGB image.
    saliency : ndarray of shape (S, S), float64
        Finite values of any range.
    parameters : GradientParameters
        Every constant, and which cut.

    Returns
    -------
    ndarray of shape (S, S), float64
        The largest part of the foreground that holds a sure seed, pixels that touch at a
        corner being of one part. 0 and 1, and what is between where `cut_side` is less than S
        and the cut is stretched, bilinearly, as a soft mask is. Zeros for a constant map.

    References
    ----------
    K. Simonyan, A. Vedaldi and A. Zisserman, "Deep Inside Convolutional Networks: Visualising
    Image Classification Models and Saliency Maps", 2013, section 3.2.

    Examples
    --------
    >>> image = np.zeros((40, 40, 3), np.uint8)
    >>> image[10:30, 10:30] = 255
    >>> rough = -np.hypot(*(np.indices((40, 40)) - 20))
    >>> mask = segmented(image, rough, GradientParameters(segmentation="star"))
    >>> mask[[8, 10, 29, 30], 20]
    array([0., 1., 1., 0.])
    """
    import cv2

    side = len(saliency)
    cut_side = min(side, parameters.cut_side)
    seeds = seeds_of(_reduced(saliency, cut_side), parameters)
    if seeds is None:
        return np.zeros((side, side))
    foreground = CUTS[parameters.segmentation](squash(image, cut_side), seeds, parameters)
    mask = _largest(foreground, seeds.sure_foreground).astype(np.float64)
    stretched = cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(stretched, np.float64)


def grabcut_foreground(
    image: NDArray[np.uint8], seeds: Seeds, parameters: GradientParameters
) -> NDArray[np.bool_]:
    """Cut by OpenCV's GrabCut.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    seeds : Seeds
        The sure ones stay; all that is not foreground begins as background.
    parameters : GradientParameters
        Of which the number of iterations and the seed count.

    Returns
    -------
    ndarray of shape (H, W), bool
        The foreground, with the sure seeds.

    References
    ----------
    C. Rother, V. Kolmogorov and A. Blake, "GrabCut: Interactive Foreground Extraction using
    Iterated Graph Cuts", ACM Transactions on Graphics 23(3), 2004.
    """
    import cv2

    sides = np.where(seeds.foreground, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    sides[seeds.sure_foreground] = cv2.GC_FGD
    sides[seeds.sure_background] = cv2.GC_BGD
    cv2.setRNGSeed(parameters.seed)  # the mixtures start from clusters drawn at random
    how = cv2.GC_INIT_WITH_MASK
    cv2.grabCut(image, sides, NO_RECTANGLE, *empty_models(), parameters.iterations, how)
    foreground: NDArray[np.bool_] = (sides == cv2.GC_FGD) | (sides == cv2.GC_PR_FGD)
    return foreground


def star_foreground(
    image: NDArray[np.uint8], seeds: Seeds, parameters: GradientParameters
) -> NDArray[np.bool_]:
    """Cut so that the foreground is star-convex: with a pixel, all of its path to a centre.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    seeds : Seeds
        The sure ones of the foreground are the centres.
    parameters : GradientParameters
        The mixtures', the edges' and the paths'.

    Returns
    -------
    ndarray of shape (H, W), bool
        The foreground.

    References
    ----------
    V. Gulshan et al., "Geodesic Star Convexity for Interactive Image Segmentation", CVPR 2010.
    """
    centers, weight = seeds.sure_foreground, parameters.geodesic_weight
    _, parent = geodesic_forest(image.astype(np.float64), centers, weight)
    energy = color_energy(image, seeds, parameters)
    return minimal_cut(energy, seeds, parent).reshape(centers.shape)


#: By the names that a parameter may have.
CUTS: Mapping[str, Cut] = {"grabcut": grabcut_foreground, "star": star_foreground}


def _reduced(saliency: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Reduce a map by the mean of what becomes a pixel."""
    import cv2

    if len(saliency) == side or saliency.min() == saliency.max():
        return saliency[:side, :side]  # the mean of equal values may differ by rounding
    return np.asarray(cv2.resize(saliency, (side, side), interpolation=cv2.INTER_AREA))


def _largest(foreground: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest of the parts that hold a seed, the first of several."""
    import cv2

    count, parts = cv2.connectedComponents(foreground.astype(np.uint8), connectivity=8)
    sizes = np.bincount(parts.ravel(), minlength=count)
    held = np.zeros(count, np.bool_)
    held[parts[seeds]] = True
    held[0] = False  # what is not foreground
    largest: NDArray[np.bool_] = parts == np.where(held, sizes, 0).argmax()
    return largest
