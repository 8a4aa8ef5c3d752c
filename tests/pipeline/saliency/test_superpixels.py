"""Superpixels: every pixel in one, and what is measured of each, one at a time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.graphs import load_golden, segmented_pictures

from dilo.pipeline.saliency.superpixels import describe, rgb_to_lab, segment


def test_four_coloured_quarters_are_never_mixed():
    image = np.zeros((80, 80, 3), np.uint8)
    image[:40, 40:], image[40:, :40], image[40:, 40:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    labels = segment(image, count=30, compactness=20.0, smallest=0.25)
    assert 15 <= labels.max() + 1 <= 60
    for label in range(labels.max() + 1):
        assert len(np.unique(image[labels == label], axis=0)) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 3), (40, 5), (60, 60)])
@pytest.mark.parametrize("count", [1, 180])
def test_labels_run_from_nought_without_a_gap_for_any_shape(shape, count):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    labels = segment(image, count=count, compactness=20.0, smallest=0.25)
    assert labels.shape == shape
    assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_noise_that_nobody_sees_does_not_break_up_a_plain_picture():
    rng = np.random.default_rng(0)
    image = np.full((100, 100, 3), 120, np.uint8)
    image += rng.integers(0, 3, image.shape, dtype=np.uint8)
    count = segment(image, count=25, compactness=20.0, smallest=0.25).max() + 1
    assert 20 <= count <= 30


@given(segmented_pictures(), st.integers(1, 4))
def test_each_superpixel_is_measured_as_its_pixels_one_by_one(picture, band):
    image, labels = picture
    height, width = labels.shape
    found = describe(image, labels, band=band)
    for label in range(labels.max() + 1):
        pixels = [(r, c) for r in range(height) for c in range(width) if labels[r, c] == label]
        rgb = np.mean([image[p] / 255 for p in pixels], axis=0)
        assert_allclose(found.lab[label], rgb_to_lab(rgb[np.newaxis])[0], atol=1e-9)
        rows, columns = zip(*pixels, strict=True)
        expected = (np.mean(rows) + 1) / height, (np.mean(columns) + 1) / width
        assert_allclose(found.position[label], expected, rtol=1e-12)
        assert found.on_boundary[label] == any(
            min(r, c, height - 1 - r, width - 1 - c) < band for r, c in pixels
        )


def _lab_literally(red: float, green: float, blue: float) -> tuple[float, float, float]:
    def linear(v: float) -> float:
        power = ((v + 0.099) / 1.099) ** (1 / 0.45)
        return v / 4.5138 if power < 0.018 else power

    def f(t: float) -> float:
        return t * 841 / 108 + 4 / 29 if t < 0.008856 else t ** (1 / 3)

    to_rgb = [
        [3.240479, -1.53715, -0.498535],
        [-0.969256, 1.875992, 0.041556],
        [0.055648, -0.204043, 1.057311],
    ]
    x, y, z = np.linalg.solve(to_rgb, [linear(red), linear(green), linear(blue)])
    fx, fy, fz = f(x / 0.950456), f(y), f(z / 1.088754)
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=20))
def test_lab_is_that_of_the_release(colors):
    rgb = np.array(colors) / 255
    assert_allclose(rgb_to_lab(rgb), [_lab_literally(*c) for c in rgb], atol=1e-10)


def test_gray_has_lightness_only():
    lab = rgb_to_lab(np.array([[0.0] * 3, [0.3] * 3, [1.0] * 3]))
    assert_allclose(lab[:, 1:], 0, atol=1e-3)
    assert_allclose(lab[[0, 2], 0], [0, 100], atol=1e-4)
    assert math.isclose(
        lab[1, 0], 116 * ((0.399 / 1.099) ** (1 / 0.45)) ** (1 / 3) - 16, abs_tol=1e-3
    )


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_colour_position_and_boundary_are_those_of_the_release(number):
    golden = load_golden(number)
    assert_allclose(golden.superpixels.lab, golden.values["meanLabCol"], atol=1e-9)
    assert_allclose(golden.superpixels.position, golden.values["meanPos"], atol=1e-12)
    boundary = np.flatnonzero(golden.superpixels.on_boundary) + 1
    assert_array_equal(boundary, np.sort(golden.values["bdIds"]))
