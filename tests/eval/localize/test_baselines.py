"""Maps as they are scored, and those that look at no pixel."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dilo.eval.attribution.heatmaps import levels, normalized
from dilo.eval.localize.baselines import center_map, random_map


def test_a_map_is_stretched_by_its_own_least_and_greatest_value():
    found = normalized(np.array([[-1, 0], [1, 3]], np.float32))
    assert found.dtype == np.float64
    assert found.tolist() == [[0.0, 0.25], [0.5, 1.0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, None])
def test_a_map_that_says_nothing_is_zero(bad):
    saliency = np.full((3, 4), 7.0, np.float32)
    if bad is not None:
        saliency[1:, 1:] = 1, 2, 3
        saliency[0, 0] = bad
    assert not normalized(saliency).any()


def test_a_mask_on_disk_keeps_its_levels():
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(levels(normalized(every)), every)
    assert levels(np.array([[0.0, 0.999 / 255, 1 - 1e-9, 1.0]])).tolist() == [[0, 0, 254, 255]]


def test_the_center_prior_is_a_gaussian_whose_sigma_is_a_quarter_of_the_side():
    found = center_map(9)
    expected = [
        [np.exp(-((r - 4) ** 2 + (c - 4) ** 2) / (2 * 2.25**2)) for c in range(9)] for r in range(9)
    ]
    assert_allclose(found, expected)
    assert center_map(8).max() == center_map(8)[3, 3] == center_map(8)[4, 4]


def test_a_random_map_is_the_path_s_own_and_smooth():
    first = random_map("a/1.jpg", 224)
    assert np.array_equal(first, random_map("a/1.jpg", 224))
    assert not np.array_equal(first, random_map("a/2.jpg", 224))
    assert first.shape == (224, 224)
    assert 0 <= first.min() < first.max() <= 1
    assert np.abs(np.diff(first, axis=0)).max() <= 1 / 32  # one number each 32 pixels
    assert random_map("a", 8).shape == (8, 8)
    assert random_map("\udcff.jpg", 8).max() > random_map("\udcff.jpg", 8).min()


def test_random_maps_are_even_on_average():
    mean = np.mean([random_map(f"{i}.jpg", 32) for i in range(600)], axis=0)
    assert_allclose(mean, 0.5, atol=0.06)  # 5 sigma of uniform numbers
