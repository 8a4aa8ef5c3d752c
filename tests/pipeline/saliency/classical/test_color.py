"""Mean colours in the spaces of the released codes, one number at a time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.graphs import load_golden, load_golden_mc

from dilo.pipeline.saliency.classical.color import mc_color, rgb_to_lab

colors = st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=20)
converters = pytest.mark.parametrize("convert", [rgb_to_lab, mc_color])


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


def _power_literally(red: float, green: float, blue: float) -> tuple[float, float, float]:
    def linear(v: float) -> float:
        power = ((v + 0.099) / 1.099) ** 2.222
        return v / 4.5138 if power < 0.018 else power

    def f(t: float) -> float:
        return t ** (1 / 3) if t > 0.008856 else 7.787069 * t + 0.137931

    r, g, b = linear(red), linear(green), linear(blue)
    fx = f(0.4339563 * r + 0.3762153 * g + 0.1898430 * b)
    fy = f(0.2126729 * r + 0.7151522 * g + 0.0721750 * b)
    fz = f(0.0177578 * r + 0.1094756 * g + 0.8728363 * b)
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@given(colors)
def test_lab_is_that_of_the_release(colors):
    rgb = np.array(colors) / 255
    assert_allclose(rgb_to_lab(rgb), [_lab_literally(*c) for c in rgb], atol=1e-10)


@given(st.lists(st.tuples(*[st.floats(0, 1) | st.floats(0, 1e-3)] * 3), min_size=1, max_size=20))
def test_power_colour_is_that_of_the_release_of_mc(rgb):
    expected = [_power_literally(*(255 * v for v in c)) for c in rgb]
    assert_allclose(mc_color(np.array(rgb)), expected, rtol=1e-12, atol=1e-8)


def test_gray_has_lightness_only():
    lab = rgb_to_lab(np.array([[0.0] * 3, [0.3] * 3, [1.0] * 3]))
    assert_allclose(lab[:, 1:], 0, atol=1e-3)
    assert_allclose(lab[[0, 2], 0], [0, 100], atol=1e-4)
    assert math.isclose(
        lab[1, 0], 116 * ((0.399 / 1.099) ** (1 / 0.45)) ** (1 / 3) - 16, abs_tol=1e-3
    )


@converters
@given(colors)
def test_a_colour_does_not_depend_on_its_company(convert, colors):
    rgb = np.array(colors) / 255
    together = convert(rgb)
    alone = np.concatenate([convert(color[np.newaxis]) for color in rgb])
    assert_array_equal(together, alone)


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_mean_colours_are_those_that_the_releases_found(number):
    golden = load_golden(number)
    assert_allclose(rgb_to_lab(golden.superpixels.rgb), golden.values["meanLabCol"], atol=1e-9)
    golden = load_golden_mc(number)
    assert_allclose(mc_color(golden.superpixels.rgb), golden.values["Lab"], atol=1e-9)
