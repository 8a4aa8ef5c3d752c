"""MR against the paper read literally, in loops."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.graphs import (
    DULL,
    PAIRED,
    renumbered,
    segmented_pictures,
    squares,
)

from dilo.pipeline.saliency.classical.color import rgb_to_lab
from dilo.pipeline.saliency.classical.mr import mr, mr_values, ranking_matrix
from dilo.pipeline.saliency.classical.superpixels import describe
from dilo.pipeline.saliency.parameters import MrParameters

PARAMETERS = MrParameters()


def _linked(labels):
    """Link what touches, at a side or a corner, the boundary among itself, and two steps of it."""
    height, width = labels.shape
    count = labels.max() + 1
    steps, boundary = set(), set()
    place = dict(np.ndenumerate(labels))
    for (row, column), label in place.items():
        for down, right in itertools.product((-1, 0, 1), repeat=2):
            steps.add((label, place.get((row + down, column + right), label)))
        if row in (0, height - 1) or column in (0, width - 1):
            boundary.add(label)
    steps |= set(itertools.product(boundary, repeat=2))
    return {
        (i, j)
        for i, j in itertools.product(range(count), repeat=2)
        if i != j and any((i, k) in steps and (k, j) in steps for k in range(count))
    }


def _ranking_literally(superpixels, parameters):
    """Invert D - alpha W, equation 3 of the paper."""
    lab = rgb_to_lab(superpixels.rgb)
    apart = {(i, j): math.dist(lab[i], lab[j]) for i, j in _linked(superpixels.labels)}
    apart = {pair: distance if distance > 1e-9 else 0.0 for pair, distance in apart.items()}
    if len(set(apart.values())) < 2:
        return None
    low, high = min(apart.values()), max(apart.values())
    weights = np.zeros((len(superpixels),) * 2)
    for (i, j), distance in apart.items():
        weights[i, j] = math.exp(-parameters.manifold_decay * (distance - low) / (high - low))
    degree = np.diag([sum(row) for row in weights])
    learned = np.linalg.inv(degree - parameters.manifold_reach * weights)
    for i in range(len(superpixels)):
        learned[i, i] = 0
    return learned


@given(segmented_pictures(), st.sampled_from([0.5, 0.9, 0.99]), st.sampled_from([0.0, 1.0, 10.0]))
def test_ranks_are_learned_as_the_paper_says(picture, reach, decay):
    superpixels = describe(*picture)
    parameters = MrParameters(manifold_reach=reach, manifold_decay=decay)
    found = ranking_matrix(superpixels, parameters)
    expected = _ranking_literally(superpixels, parameters)
    assert (found is None) == (expected is None)
    if found is not None:
        assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * expected.max())
        assert_array_equal(found.diagonal(), 0)


def _stretched(values):
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(1, abs(low), abs(high)):  # rounding
        return [0.0] * len(values)
    return [(value - low) / (high - low) for value in values]


def _background_literally(superpixels, learned):
    labels, count = superpixels.labels, len(superpixels)
    background = [1.0] * count
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        ranks = _stretched([sum(learned[i, j] for j in set(side)) for i in range(count)])
        background = [b * (1 - rank) for b, rank in zip(background, ranks, strict=True)]
    return _stretched(background)


def _assume_that_rounding_decides_nothing(superpixels):
    """Leave out pictures in which a superpixel lies at the threshold."""
    learned = _ranking_literally(superpixels, PARAMETERS)
    if learned is not None:
        background = _background_literally(superpixels, learned)
        assume(min(abs(b - np.mean(background)) for b in background) > 1e-9 or not any(background))
    return learned


@given(segmented_pictures())
def test_the_whole_equals_the_paper_read_one_superpixel_at_a_time(picture):
    superpixels = describe(*picture)
    count = len(superpixels)
    learned = _assume_that_rounding_decides_nothing(superpixels)
    expected = np.zeros(count)
    if learned is not None:
        background = _background_literally(superpixels, learned)
        mean = sum(background) / count
        queries = [i for i in range(count) if background[i] >= mean]
        expected = _stretched([sum(learned[i, j] for j in queries) for i in range(count)])
    assert_allclose(mr_values(superpixels, PARAMETERS), expected, atol=1e-6)


def test_an_object_that_reaches_one_side_ranks_low_against_the_others():
    colors = np.full((8, 8, 3), (40, 60, 160))
    colors[4:, 3:5] = (220, 180, 40)
    found = mr_values(describe(*squares(colors)), PARAMETERS).reshape(8, 8)
    assert found[4:7, 3:5].min() > 0.9
    assert found[:3].max() < 0.2


@given(segmented_pictures(), st.integers(0, 2**32 - 1))
def test_the_numbering_of_superpixels_does_not_matter(picture, seed):
    superpixels, again, order = renumbered(picture, seed)
    _assume_that_rounding_decides_nothing(superpixels)
    saliency = mr_values(superpixels, PARAMETERS)
    assert saliency.min() >= 0
    assert saliency.max() <= 1
    assert_allclose(mr_values(again, PARAMETERS)[order], saliency, atol=1e-6)


@pytest.mark.parametrize("name", DULL)
def test_nothing_is_salient_where_all_is_one_colour(name):
    assert_array_equal(mr_values(describe(*DULL[name]), PARAMETERS), 0)


@pytest.mark.parametrize("name", PAIRED)
def test_few_superpixels_or_colours_have_a_saliency(name):
    saliency = mr_values(describe(*PAIRED[name]), PARAMETERS)
    assert np.isfinite(saliency).all()
    assert saliency.min() == 0


def test_nothing_is_salient_in_four_quarters_of_two_colours_across():
    # Either colour might as well be the other, for all that rounding may say.
    colors = np.array([[[217, 163, 130], [69, 78, 10]], [[69, 78, 10], [217, 163, 130]]])
    assert mr_values(describe(*squares(colors)), PARAMETERS).max() == 0


def test_a_square_on_a_plain_ground_is_all_that_is_salient():
    image = np.full((224, 224, 3), (40, 60, 160), np.uint8)
    image[64:160, 80:144] = (220, 180, 40)
    saliency = mr(image, PARAMETERS)
    assert saliency[70:154, 86:138].min() > 0.9
    assert saliency[:40].max() < 0.1
    assert saliency[:, :50].max() < 0.1
