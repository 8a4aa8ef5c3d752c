"""Mixtures of colours: whose colours they are, and their density by SciPy."""

import threading

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from dilo.pipeline.saliency.cuts.colormodels import color_models, likelihood


def _two_crowds(rng):
    """Draw 400 pixels in a row, of which the first half is bright."""
    colors = np.repeat([[200, 180, 90], [40, 60, 110]], 200, axis=0)
    pixels = np.clip(colors + rng.normal(0, 10, (400, 3)), 0, 255).astype(np.uint8)
    return pixels[None], np.arange(400)[None] < 200


def test_each_side_has_the_colours_of_its_pixels():
    image, foreground = _two_crowds(np.random.default_rng(0))
    for model, side in zip(
        color_models(image, foreground, 0), (~foreground, foreground), strict=True
    ):
        weights, means = model[0, :5], model[0, 5:20].reshape(5, 3)
        assert weights.sum() == pytest.approx(1)
        assert_allclose(weights @ means, image[side].mean(0), atol=1e-6)


def test_a_mixture_is_the_weighted_sum_of_its_gaussians():
    rng = np.random.default_rng(0)
    weights = np.array([0.5, 0.0, 0.2, 0.3, 0.0])  # two clusters came out empty
    means, roots = rng.uniform(0, 255, (5, 3)), rng.normal(0, 20, (5, 3, 3))
    covariances = roots @ roots.transpose(0, 2, 1)
    covariances[[1, 4]] = 0.0
    pixels = rng.uniform(0, 255, (40, 3))
    expected = sum(
        weights[k] * multivariate_normal(means[k], covariances[k]).pdf(pixels) for k in (0, 2, 3)
    )
    found = likelihood(pixels, np.concatenate([weights, means.ravel(), covariances.ravel()]))
    assert_allclose(found, expected * (2 * np.pi) ** 1.5, rtol=1e-9)


@pytest.mark.parametrize("rounding", [0.0, 1e-12, -1e-12])
def test_colours_in_a_plane_have_a_density_all_the_same(rounding):
    """Of an image whose green is its blue."""
    covariance = np.array([[100.0, 50, 50], [50, 80, 80], [50, 80, 80 + rounding]])
    model = np.zeros((1, 65))
    model[0, 0], model[0, 20:29] = 1.0, covariance.ravel()
    pixels = np.array([[0.0, 0, 0], [9, 5, 5], [0, 0, 1]])
    expected = multivariate_normal(np.zeros(3), covariance + 0.01 * np.eye(3)).pdf(pixels)
    assert_allclose(likelihood(pixels, model), expected * (2 * np.pi) ** 1.5, rtol=1e-8)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_pixels_of_one_colour_make_a_model_all_the_same(count):
    image = np.full((1, count + 1, 3), 70, np.uint8)
    foreground = np.arange(count + 1)[None] < count
    for model in color_models(image, foreground, 0):
        here, elsewhere = likelihood(np.array([[70.0] * 3, [99.0] * 3]), model)
        assert np.isfinite(here)
        assert here > elsewhere


def test_the_generator_of_a_thread_is_its_own():
    image, foreground = _two_crowds(np.random.default_rng(1))
    expected = {seed: color_models(image, foreground, seed) for seed in range(3)}
    assert not np.array_equal(expected[0][1], expected[1][1])
    wrong = []

    def work(seed):
        for _ in range(30):
            found = color_models(image, foreground, seed)
            if not all(map(np.array_equal, found, expected[seed])):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_opencv_drew_before_does_not_matter():
    image, foreground = _two_crowds(np.random.default_rng(2))
    expected = color_models(image, foreground, 0)
    cv2.setRNGSeed(99)
    cv2.randu(np.zeros((5, 5)), 0, 1)
    for model, again in zip(expected, color_models(image, foreground, 0), strict=True):
        assert_array_equal(again, model)
