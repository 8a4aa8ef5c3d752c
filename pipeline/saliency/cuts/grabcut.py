"""Refine a saliency map by the image it came from: a GrabCut that the map seeds."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.cuts.colormodels import (
    NO_RECTANGLE,
    ColorModels,
    color_models,
    likelihood,
)
from dilo.pipeline.saliency.parameters import GrabCutParameters
from dilo.pipeline.saliency.values import otsu_threshold, stretch


def grabcut(
    image: NDArray[np.uint8], saliency: NDArray[np.float64], parameters: GrabCutParameters
) -> NDArray[np.float64]:
    """Draw a saliency map towards the cut of the image that it seeds.

    The cut divides the image along its edges into two parts, each of the colours that the map
    finds there. Map and cut are averaged, the cut with as much weight as it confirms of what
    the map was unsure of: close to the map's outline it replaces most of the map; one that
    loses the object or swallows its surroundings leaves the map as it was.

    Parameters
    ----------
    image : ndarray of shape (S, S, 3), uint8
        Square RGB image.
    saliency : ndarray of shape (S, S), float64
        Saliency in [0, 1].
    parameters : GrabCutParameters
        Every constant of the refinement.

    Returns
    -------
    ndarray of shape (S, S), float64
        Saliency in the range of the map given; the very map where it or the image is flat, or
        either side of its threshold too small for a colour model, where colours do not tell the
        sides apart, and where the cut gives all that is unsure on one side to the other.

    Notes
    -----
    Colour models and cut are the paper's (section 3), once each, without its iteration. Ours
    are the seeds, from a map in place of a user's strokes, and the weighted average.

    References
    ----------
    C. Rother, V. Kolmogorov and A. Blake, "GrabCut: Interactive Foreground Extraction using
    Iterated Graph Cuts", ACM Transactions on Graphics 23(3), 2004.

    Examples
    --------
    >>> image = np.zeros((40, 40, 3), np.uint8)
    >>> image[10:30, 10:30] = 255
    >>> rough = np.zeros((40, 40))
    >>> rough[8:32, 8:32] = 0.6
    >>> rough[14:26, 14:26] = 1.0
    >>> grabcut(image, rough, GrabCutParameters())[[8, 10, 14], 20].round(2)
    array([0.24, 0.84, 1.  ])
    """
    if (image == image[0, 0]).all():
        return saliency
    values = stretch(saliency)
    threshold = otsu_threshold(values.ravel())
    above = values > threshold
    models = _color_models(image, above, parameters)
    if models is None:
        return saliency
    room = np.where(above, 1.0 - threshold, threshold)
    unsure = np.abs(values - threshold) < parameters.certain * room
    foreground = _grabcut(image, above, unsure, models)
    # Towards the map's own extremes, so that a weak map stays weak.
    target = np.where(foreground, saliency.max(), saliency.min())
    weight = _confirmed_share(foreground, above, unsure)
    refined: NDArray[np.float64] = saliency + weight * (target - saliency)
    return refined


def _color_models(
    image: NDArray[np.uint8], above: NDArray[np.bool_], parameters: GrabCutParameters
) -> ColorModels | None:
    """Fit both mixtures of Gaussians to a reduced image; None where they would say nothing."""
    import cv2

    side = max(1, len(image) // parameters.model_reduction)
    small = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    share = cv2.resize(above.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    inside = share > 0.5
    count = int(inside.sum())
    if min(count, inside.size - count) < parameters.smallest_model:
        return None
    background, foreground = color_models(small, inside, parameters.seed)
    pixels = small.reshape(-1, 3).astype(np.float64)
    likelier = likelihood(pixels, foreground) > likelihood(pixels, background)
    inside = inside.ravel()
    told_apart = float(likelier[inside].mean() - likelier[~inside].mean())
    return (background, foreground) if told_apart >= parameters.told_apart else None


def _grabcut(
    image: NDArray[np.uint8],
    above: NDArray[np.bool_],
    unsure: NDArray[np.bool_],
    models: ColorModels,
) -> NDArray[np.bool_]:
    """Cut the image into background and foreground; only what is unsure may change sides."""
    import cv2

    seeds = np.where(
        unsure,
        np.where(above, cv2.GC_PR_FGD, cv2.GC_PR_BGD),
        np.where(above, cv2.GC_FGD, cv2.GC_BGD),
    ).astype(np.uint8)
    cv2.grabCut(image, seeds, NO_RECTANGLE, *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
    foreground: NDArray[np.bool_] = (seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)
    return foreground


def _confirmed_share(
    foreground: NDArray[np.bool_], above: NDArray[np.bool_], unsure: NDArray[np.bool_]
) -> float:
    """Compute the share of unsure pixels that the cut leaves on their side, of the worse side.

    Without evidence in the image the shortest outline wins: the cut shrinks to the sure
    foreground or grows to the sure background, and this is 0, as where all is sure.
    """
    sides = (unsure & above, unsure & ~above)
    unchanged = foreground == above
    return min((float(unchanged[side].mean()) for side in sides if side.any()), default=0.0)
