"""Seeds by quantiles of a map: their shares, and what becomes of equal values."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.testing import assert_array_equal

from dilo.pipeline.saliency.cuts.graphcut import seeds_of
from dilo.pipeline.saliency.networkparameters import GradientParameters

PARAMETERS = GradientParameters()


def test_of_a_thousand_different_values_the_quantiles_are_the_seeds():
    saliency = np.random.default_rng(0).permutation(1000.0 * np.arange(1000)).reshape(40, 25)
    rank = saliency / 1000.0
    seeds = seeds_of(saliency, PARAMETERS)
    assert_array_equal(seeds.foreground, rank >= 950)
    assert_array_equal(seeds.sure_foreground, rank >= 995)
    assert_array_equal(seeds.background, rank < 300)
    assert_array_equal(seeds.sure_background, rank < 5)


def test_other_quantiles_are_heard():
    saliency = np.arange(100.0).reshape(10, 10)
    other = dataclasses.replace(
        PARAMETERS, sure_background=0.1, background=0.2, foreground=0.6, sure_foreground=0.7
    )
    seeds = seeds_of(saliency, other)
    counts = [int(getattr(seeds, field.name).sum()) for field in dataclasses.fields(seeds)]
    assert counts == [40, 20, 30, 10]


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e300])
@pytest.mark.parametrize("side", [1, 7])
def test_a_constant_map_has_none(side, value):
    assert seeds_of(np.full((side, side), value), PARAMETERS) is None


@pytest.mark.parametrize(
    ("values", "foreground", "background"),
    [
        pytest.param([0] * 999 + [1], [999], range(999), id="one-above-all"),
        pytest.param([1] * 999 + [0], range(999), [999], id="one-below-all"),
        pytest.param([0] + [1] * 998 + [2], [999], range(999), id="one-on-either-side"),
    ],
)
def test_values_that_most_pixels_have_are_background_unless_none_is_greater(
    values, foreground, background
):
    seeds = seeds_of(np.array(values, np.float64).reshape(40, 25), PARAMETERS)
    assert_array_equal(np.flatnonzero(seeds.foreground), foreground)
    assert_array_equal(np.flatnonzero(seeds.background), background)


@given(
    arrays.arrays(
        np.float64,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.one_of(st.sampled_from([0.0, 0.1, 0.3, 1.0]), st.floats(-1e9, 1e9)),
    )
)
def test_both_sides_have_sure_seeds_and_no_pixel_is_of_both(saliency):
    seeds = seeds_of(saliency, PARAMETERS)
    if seeds is None:
        assert (saliency == saliency[0, 0]).all()
        return
    assert not (seeds.foreground & seeds.background).any()
    for likely, sure in (
        (seeds.foreground, seeds.sure_foreground),
        (seeds.background, seeds.sure_background),
    ):
        assert sure.any()
        assert not (sure & ~likely).any()
    assert saliency[seeds.foreground].min() > saliency[seeds.background].max()
