"""Graph cuts: seeds by quantiles, energies in loops, cuts against all labellings of tiny images."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from dilo.eval.attribution.graphcut import Energy, Seeds, color_energy, minimal_cut, seeds_of
from dilo.eval.attribution.maskmethods import GradientParameters
from dilo.eval.attribution.pixelgraph import geodesic_forest
from dilo.pipeline.saliency.cuts.colormodels import color_models

PARAMETERS = GradientParameters(segmentation="star")


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


def _scattered(rng, height, width):
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def _neighbours(height, width):
    for y, x in itertools.product(range(height), range(width)):
        if x + 1 < width:
            yield (y, x), (y, x + 1)
        if y + 1 < height:
            yield (y, x), (y + 1, x)


def test_parting_neighbours_costs_what_the_formula_says():
    image = _scattered(np.random.default_rng(0), 5, 4)
    colors = image / 255
    pairs = list(_neighbours(5, 4))
    squared = [sum((colors[a][c] - colors[b][c]) ** 2 for c in range(3)) for a, b in pairs]
    beta = 2 / (sum(squared) / len(squared))
    expected = {
        (4 * a[0] + a[1], 4 * b[0] + b[1]): 150 * math.exp(-beta * d)
        for (a, b), d in zip(pairs, squared, strict=True)
    }
    seeds = seeds_of(np.arange(20.0).reshape(5, 4), PARAMETERS)
    energy = color_energy(image, seeds, PARAMETERS)
    found = dict(zip(zip(energy.first, energy.second, strict=True), energy.parting, strict=True))
    assert found == pytest.approx(expected)


def test_a_side_costs_the_logarithm_of_its_posterior():
    rng = np.random.default_rng(1)
    image = _scattered(rng, 20, 20)
    image[:8] //= 4
    seeds = seeds_of(np.arange(400.0).reshape(20, 20) + rng.random((20, 20)), PARAMETERS)
    energy = color_energy(image, seeds, PARAMETERS)
    either = seeds.foreground | seeds.background
    models = color_models(image[either][None], seeds.foreground[either][None], 0)
    pixels = image.reshape(-1, 3) / 255
    densities = []
    for model in models:
        weights, means = model[0, :5], model[0, 5:20].reshape(5, 3) / 255
        covariances = model[0, 20:].reshape(5, 3, 3) / 255**2
        density = sum(
            weights[k] * multivariate_normal(means[k], covariances[k]).pdf(pixels)
            for k in range(5)
            if weights[k] > 0
        )
        densities.append(0.05 * 1 + 0.95 * density)
    background, foreground = densities
    assert_allclose(energy.as_foreground, -np.log(foreground / (foreground + background)))
    assert_allclose(energy.as_background, -np.log(background / (foreground + background)))
    assert (energy.as_foreground > energy.as_background).any()
    assert (energy.as_foreground < energy.as_background).any()


def test_an_image_of_one_colour_parts_all_neighbours_at_the_full_cost():
    seeds = seeds_of(np.arange(9.0).reshape(3, 3), PARAMETERS)
    energy = color_energy(np.full((3, 3, 3), 7, np.uint8), seeds, PARAMETERS)
    assert_array_equal(energy.parting, np.full(12, 150.0))


def test_the_energy_of_a_labelling_is_the_sum_over_pixels_and_parted_neighbours():
    one = np.array([1.0, 2.0, 4.0]), np.array([10.0, 20.0, 40.0])
    energy = Energy(*one, np.array([0, 1]), np.array([1, 2]), np.array([100.0, 1000.0]))
    assert energy.of(np.array([True, True, False])) == 1 + 2 + 40 + 1000
    assert energy.of(np.array([False, True, False])) == 10 + 2 + 40 + 100 + 1000


@st.composite
def tiny_problems(draw):
    """Draw an image of at most 3 x 4 pixels, its seeds, and an energy of whole fiftieths."""
    height, width = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    colors = _scattered(rng, height, width).astype(np.float64)
    first, second = (
        np.array([y * width + x for y, x in ends], np.intp)
        for ends in zip(*_neighbours(height, width), strict=True)
    )
    scale = draw(st.sampled_from([3, 200]))
    one = rng.integers(0, scale, (2, height * width)) / 50
    energy = Energy(*one, first, second, rng.integers(0, 100, len(first)) / 50)
    seeds = seeds_of(rng.permutation(height * width).reshape(height, width) * 1.0, PARAMETERS)
    return colors, energy, seeds


def _allowed(seeds, parent):
    """List all labellings that keep the seeds and the paths."""
    foreground, background = seeds.sure_foreground.ravel(), seeds.sure_background.ravel()
    for labels in itertools.product((False, True), repeat=foreground.size):
        label = np.array(labels)
        whole = parent is None or label[parent[label]].all()
        if whole and label[foreground].all() and not label[background].any():
            yield label


@given(tiny_problems(), st.sampled_from([None, 0.0, 0.3]))
@settings(max_examples=40)
def test_no_labelling_that_is_allowed_costs_less_and_none_as_good_is_smaller(problem, weight):
    colors, energy, seeds = problem
    parent = None
    if weight is not None:
        _, parent = geodesic_forest(colors, seeds.sure_foreground, weight)
    found = minimal_cut(energy, seeds, parent)
    labellings = list(_allowed(seeds, parent))
    least = min(map(energy.of, labellings))
    assert any((found == label).all() for label in labellings)
    assert energy.of(found) == pytest.approx(least, abs=1e-9)
    for label in labellings:
        if energy.of(label) == pytest.approx(least, abs=1e-9):
            assert not (found & ~label).any()


def test_the_constraint_costs_energy():
    """A bright island beyond a dark strait: without paths it is foreground, with them not."""
    as_foreground = np.array([0.0, 9.0, 9.0, 0.0, 9.0])
    as_background = np.array([0.0, 0.0, 0.0, 8.0, 0.0])
    first = np.arange(4)
    energy = Energy(as_foreground, as_background, first, first + 1, np.full(4, 0.1))
    row = np.arange(5)[None]
    seeds = Seeds(row == 0, row == 4, row == 0, row == 4)
    parent = np.array([0, 0, 1, 2, 3])
    assert_array_equal(np.flatnonzero(minimal_cut(energy, seeds)), [0, 3])
    assert_array_equal(np.flatnonzero(minimal_cut(energy, seeds, parent)), [0])
    bolder = dataclasses.replace(energy, as_background=as_background + 18 * (row[0] == 3))
    assert_array_equal(np.flatnonzero(minimal_cut(bolder, seeds, parent)), [0, 1, 2, 3])


@pytest.mark.parametrize("edge_weight", [0.0, 1e-9, 1e12])
def test_edges_of_any_weight_are_cut(edge_weight):
    rng = np.random.default_rng(3)
    image = _scattered(rng, 12, 12)
    seeds = seeds_of(rng.random((12, 12)), PARAMETERS)
    weighed = dataclasses.replace(PARAMETERS, edge_weight=edge_weight)
    energy = color_energy(image, seeds, weighed)
    found = minimal_cut(energy, seeds)
    assert found[seeds.sure_foreground.ravel()].all()
    assert not found[seeds.sure_background.ravel()].any()
    assert energy.of(found) <= energy.of(seeds.sure_foreground.ravel())
