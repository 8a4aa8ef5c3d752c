"""Blur of masks: Pillow's, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

from dilo.train.data.resize import blur


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@given(
    st.tuples(st.integers(1, 80), st.integers(1, 80)),
    st.tuples(st.floats(0.01, 20), st.floats(0.01, 20)),
    st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_it_is_pillows_bit_for_bit(shape, sigmas, seed):
    mask = noise(seed, *shape)
    expected = Image.fromarray(mask).filter(ImageFilter.GaussianBlur(sigmas))
    assert_array_equal(blur(mask, sigmas), np.asarray(expected))


@pytest.mark.parametrize("sigma", [2.0, 5.0, 8.0])
def test_an_edge_becomes_the_gaussians(sigma):
    mask = np.zeros((100, 120), np.uint8)
    mask[:, 60:] = 255
    exact = gaussian_filter(np.float64(mask), sigma, mode="nearest")
    assert np.abs(blur(mask, (sigma, sigma)) - exact).max() < 3


def test_a_side_without_a_sigma_is_left_alone():
    rows = np.repeat(noise(0, 40, 1), 30, axis=1)
    assert_array_equal(blur(rows, (4.0, 0.0)), rows)
    assert_array_equal(blur(rows.T, (0.0, 4.0)), rows.T)


def test_the_mask_that_was_given_stays_as_it_was():
    mask = noise(1, 20, 20)
    before = mask.copy()
    blur(mask, (3.0, 3.0))
    assert_array_equal(mask, before)
