"""Refine a saliency map by the image it came from: a GrabCut that the map seeds."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.compiled import compiled
from dilo.pipeline.saliency.parameters import GrabCutParameters
from dilo.pipeline.saliency.values import otsu_threshold, stretch

#: Mixtures of Gaussians of the background's and of the foreground's colours, as OpenCV has them
ColorModels: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

_GAUSSIANS, _GAUSSIAN_VALUES = 5, 13  # OpenCV's own: a weight, three means, nine covariances
_NO_RECTANGLE = (0, 0, 0, 0)  # the seeds say it all


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
    way = np.where(above, 1.0 - threshold, threshold)
    unsure = np.abs(values - threshold) < parameters.certain * way
    foreground = _cut(image, above, unsure, models)
    # Towards the map's own extremes, so that a weak map stays weak.
    target = np.where(foreground, saliency.max(), saliency.min())
    weight = _confirmed(foreground, above, unsure)
    refined: NDArray[np.float64] = saliency + weight * (target - saliency)
    return refined


def _color_models(
    image: NDArray[np.uint8], above: NDArray[np.bool_], parameters: GrabCutParameters
) -> ColorModels | None:
    """Fit both mixtures of Gaussians to a reduced image; None where they would say nothing."""
    import cv2

    side = max(1, len(image) // parameters.model_reduction)
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    share = cv2.resize(above.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    seeds = np.where(share > 0.5, cv2.GC_FGD, cv2.GC_BGD).astype(np.uint8)
    count = int((seeds == cv2.GC_FGD).sum())
    if min(count, seeds.size - count) < parameters.smallest_model:
        return None
    background, foreground = (np.zeros((1, _GAUSSIANS * _GAUSSIAN_VALUES)) for _ in range(2))
    cv2.setRNGSeed(parameters.seed)  # the mixtures start from clusters drawn at random
    cv2.grabCut(small, seeds, _NO_RECTANGLE, background, foreground, 0, cv2.GC_INIT_WITH_MASK)
    pixels = small.reshape(-1, 3).astype(np.float64)
    likelier = _likelihood(pixels, foreground) > _likelihood(pixels, background)
    inside = seeds.ravel() == cv2.GC_FGD
    told_apart = float(likelier[inside].mean() - likelier[~inside].mean())
    return (background, foreground) if told_apart >= parameters.told_apart else None


def _likelihood(pixels: NDArray[np.float64], model: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate a mixture of Gaussians at (N, 3) colours, but for a constant factor."""
    weights, values = np.split(model.ravel(), [_GAUSSIANS])
    means, covariances = np.split(values, [3 * _GAUSSIANS])
    used = weights > 0  # a cluster may have come out empty
    whitening = np.linalg.inv(np.linalg.cholesky(covariances.reshape(-1, 3, 3)[used]))
    factors = weights[used] * np.linalg.det(whitening)
    return _mixture(pixels, means.reshape(-1, 3)[used], whitening, factors)


@compiled
def _mixture(
    pixels: NDArray[np.float64],
    means: NDArray[np.float64],
    whitening: NDArray[np.float64],
    factors: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum Gaussians, each given by its mean, the triangle that whitens it, and its factor."""
    likelihood = np.zeros(len(pixels))
    for i in range(len(pixels)):
        for k in range(len(means)):
            distance = 0.0
            for row in range(3):
                white = 0.0
                for column in range(row + 1):
                    white += whitening[k, row, column] * (pixels[i, column] - means[k, column])
                distance += white * white
            likelihood[i] += factors[k] * np.exp(-0.5 * distance)
    return likelihood


def _cut(
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
    cv2.grabCut(image, seeds, _NO_RECTANGLE, *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
    foreground: NDArray[np.bool_] = (seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)
    return foreground


def _confirmed(
    foreground: NDArray[np.bool_], above: NDArray[np.bool_], unsure: NDArray[np.bool_]
) -> float:
    """Give the share of unsure pixels that the cut leaves on their side, of the worse side.

    Without evidence in the image the shortest outline wins: the cut shrinks to the sure
    foreground or grows to the sure background, and this is 0, as where all is sure.
    """
    sides = (unsure & above, unsure & ~above)
    kept = foreground == above
    return min((float(kept[side].mean()) for side in sides if side.any()), default=0.0)
