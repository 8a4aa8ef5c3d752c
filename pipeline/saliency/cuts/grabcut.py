"""Refine a saliency map by the image it came from: a GrabCut that the map seeds."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.cuts.colormodels import ColorModels, color_models, likelihood
from dilo.pipeline.saliency.cuts.mincut import minimum_cut, neighbor_weights
from dilo.pipeline.saliency.parameters import GrabCutParameters
from dilo.pipeline.saliency.values import otsu_threshold, stretch


def grabcut(
    image: NDArray[np.uint8], saliency: NDArray[np.float64], parameters: GrabCutParameters
) -> NDArray[np.float64]:
    """Draw a saliency map towards the cut of the image that it seeds.

    The cut divides the image along its edges into two parts, each of the colours that the map
    finds there. Map and cut are averaged, the cut with as much weight as it confirms of what
    the map was unsure of: close to the map's outline it replaces most of the map; one that
    loses the object or swallows its surroundings leaves the map. The average is then drawn away
    from its middle, as far as the cut is believed, for an object is there or not.

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
    are the seeds, from a map in place of a user's strokes, the reduced image, and the weighted
    average and its contrast. At half the size the paper's cut costs a sixth, and finds outlines
    as well if links weigh less: a shorter outline has fewer of them, but each was between pixels
    that are alike.

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
    array([0.09, 1.  , 1.  ])
    """
    if (image == image[0, 0]).all():
        return saliency
    values = stretch(saliency)
    threshold = otsu_threshold(values.ravel())
    above = values > threshold
    models = _color_models(image, above, parameters)
    if models is None:
        return saliency
    foreground, weight = _cut(image, values, threshold, models, parameters)
    unsure = _unsure(values, threshold, parameters.certain)
    # Towards the map's own extremes, so that a weak map stays weak.
    low, high = saliency.min(), saliency.max()
    target = low + (high - low) * np.where(unsure, foreground, above)
    average = saliency + weight * (target - saliency)
    # As far as the cut is believed.
    growth = weight * (parameters.contrast - 1)
    refined: NDArray[np.float64] = (average + growth * (average - (low + high) / 2)).clip(low, high)
    return refined


def _color_models(
    image: NDArray[np.uint8], above: NDArray[np.bool_], parameters: GrabCutParameters
) -> ColorModels | None:
    """Fit both mixtures of Gaussians to a reduced image; None where they would say nothing."""
    side = min(len(image), parameters.model_side)
    small = np.asarray(_resized(image, side), np.uint8)
    inside = _resized(above.astype(np.float32), side) > 0.5
    count = int(inside.sum())
    if min(count, inside.size - count) < parameters.smallest_model:
        return None
    background, foreground = color_models(small, inside, parameters.seed)
    pixels = small.reshape(-1, 3).astype(np.float64)
    likelier = likelihood(pixels, foreground) > likelihood(pixels, background)
    inside = inside.ravel()
    told_apart = float(likelier[inside].mean() - likelier[~inside].mean())
    return (background, foreground) if told_apart >= parameters.told_apart else None


def _cut(
    image: NDArray[np.uint8],
    values: NDArray[np.float64],
    threshold: float,
    models: ColorModels,
    parameters: GrabCutParameters,
) -> tuple[NDArray[np.float64], float]:
    """Cut the reduced image; only what is unsure may change sides.

    Returns the foreground at the size of the map, with values between 0 and 1 along its
    outline, and the share of the unsure that it confirms.
    """
    side = min(len(image), parameters.cut_side)
    small, coarse = np.asarray(_resized(image, side), np.uint8), _resized(values, side)
    above, unsure = coarse > threshold, _unsure(coarse, threshold, parameters.certain)
    pixels = small[unsure].astype(np.float64)
    background_log, foreground_log = (
        np.log(np.maximum(likelihood(pixels, model), np.finfo(np.float64).tiny)) for model in models
    )
    links = neighbor_weights(small, unsure, parameters.edge_weight)
    foreground = minimum_cut(above, unsure, foreground_log - background_log, links)
    smooth = _resized(foreground.astype(np.float64), len(image))
    return smooth, _confirmed_share(foreground, above, unsure)


def _resized(array: NDArray[Any], side: int) -> NDArray[Any]:
    """Resize a square: the mean of what a pixel covers, or a value between its neighbours."""
    import cv2

    way = cv2.INTER_AREA if side <= len(array) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(array, (side, side), interpolation=way))


def _unsure(values: NDArray[np.float64], threshold: float, certain: float) -> NDArray[np.bool_]:
    """Find the pixels that are too near to the threshold to be sure of their side."""
    room = np.where(values > threshold, 1.0 - threshold, threshold)
    unsure: NDArray[np.bool_] = np.abs(values - threshold) < certain * room
    return unsure


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
