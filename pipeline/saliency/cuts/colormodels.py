"""The colours of foreground and background, each a mixture of Gaussians, as OpenCV fits them."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled

#: Mixtures of the background's and of the foreground's colours, as OpenCV has them
ColorModels: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

_GAUSSIANS, _GAUSSIAN_VALUES = 5, 13  # OpenCV's own: a weight, three means, nine covariances
# Colours in a plane leave a variance of 0, but for rounding, which may also make it negative.
# OpenCV adds this noise to all three where it notices.
_FLAT, _NOISE = 1e-3, 0.01
#: Where OpenCV asks for one: the seeds say it all.
NO_RECTANGLE = (0, 0, 0, 0)


def color_models(image: NDArray[np.uint8], foreground: NDArray[np.bool_], seed: int) -> ColorModels:
    """Fit a mixture of five Gaussians to the colours of each side.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB pixels, all of which take part.
    foreground : ndarray of shape (H, W), bool
        Which are foreground; neither all nor none.
    seed : int
        Start of the generator of the first clusters, which is of this thread alone.

    Returns
    -------
    tuple of ndarray of shape (1, 65), float64
        The background's and the foreground's: five weights, of which some may be 0, five means
        and five covariances, of colours from 0 to 255.
    """
    import cv2

    sides = np.where(foreground, cv2.GC_FGD, cv2.GC_BGD).astype(np.uint8)
    models = empty_models()
    cv2.setRNGSeed(seed)  # the mixtures start from clusters drawn at random
    cv2.grabCut(image, sides, NO_RECTANGLE, *models, 0, cv2.GC_INIT_WITH_MASK)
    return models


def empty_models() -> ColorModels:
    """Make room for both mixtures.

    Returns
    -------
    tuple of ndarray of shape (1, 65), float64
        Zeros.
    """
    room = (1, _GAUSSIANS * _GAUSSIAN_VALUES)
    return np.zeros(room), np.zeros(room)


def likelihood(pixels: NDArray[np.float64], model: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate a mixture of Gaussians, but for a constant factor.

    Parameters
    ----------
    pixels : ndarray of shape (N, 3), float64
        Colours from 0 to 255.
    model : ndarray of shape (1, 65), float64
        As `color_models` gives it.

    Returns
    -------
    ndarray of shape (N,), float64
        Density of each colour, times (2 pi)^(3/2).
    """
    weights, values = np.split(model.ravel(), [_GAUSSIANS])
    means, covariances = np.split(values, [3 * _GAUSSIANS])
    used = weights > 0  # a cluster may have come out empty
    covariances = covariances.reshape(-1, 3, 3)[used]
    flat = np.linalg.eigvalsh(covariances)[:, 0] < _FLAT
    covariances = covariances + np.where(flat, _NOISE, 0.0)[:, None, None] * np.eye(3)
    whitening = np.linalg.inv(np.linalg.cholesky(covariances))
    factors = weights[used] * np.linalg.det(whitening)
    exponents = _exponents(pixels, means.reshape(-1, 3)[used], whitening)
    np.exp(exponents, out=exponents)
    return _weighted_sum(factors, exponents)


@compiled
def _exponents(
    pixels: NDArray[np.float64], means: NDArray[np.float64], whitening: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the exponents of Gaussians, a row each, given by means and whitening triangles."""
    exponents = np.empty((len(means), len(pixels)))
    for k in range(len(means)):
        row, mean, triangle = exponents[k], means[k], whitening[k]
        for i in range(len(pixels)):
            red, green = pixels[i, 0] - mean[0], pixels[i, 1] - mean[1]
            blue = pixels[i, 2] - mean[2]
            first = triangle[0, 0] * red
            second = triangle[1, 0] * red + triangle[1, 1] * green
            third = triangle[2, 0] * red + triangle[2, 1] * green + triangle[2, 2] * blue
            row[i] = -0.5 * (first * first + second * second + third * third)
    return exponents


@compiled
def _weighted_sum(factors: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum rows, each times its factor."""
    total = np.zeros(values.shape[1])
    for k in range(len(values)):
        for i in range(len(total)):
            total[i] += factors[k] * values[k, i]
    return total
