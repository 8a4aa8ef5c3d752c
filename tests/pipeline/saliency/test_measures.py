"""Precision, recall, F and E by threshold, against their definitions pixel by pixel."""

import math

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from support.maps import masks_and_truths

from dilo.eval.saliency.measures import normalised
from dilo.pipeline.saliency.measures import (
    Counts,
    adaptive_counts,
    counts,
    e_measure,
    f_measure,
    precision,
    recall,
)

SOME = (0, 1, 37, 128, 200, 254, 255)


def cuts(saliency):
    """Cut a map at some of the thresholds, as lists of booleans."""
    for threshold in SOME:
        yield threshold, [math.floor(255 * value) >= threshold for value in saliency.ravel()]


@given(masks_and_truths())
def test_counts_equal_those_of_the_map_cut_pixel_by_pixel(pair):
    saliency, truth = normalised(pair[0]), pair[1]
    counted = counts(saliency, truth)
    for threshold, cut in cuts(saliency):
        assert counted.selected[threshold] == sum(cut)
        both = [c and t for c, t in zip(cut, truth.ravel(), strict=True)]
        assert counted.hits[threshold] == sum(both)
    assert (counted.positives, counted.pixels) == (truth.sum(), truth.size)


@given(masks_and_truths())
def test_the_adaptive_threshold_is_twice_the_mean_but_at_most_1(pair):
    saliency, truth = normalised(pair[0]), pair[1]
    threshold = min(2 * saliency.mean(), 1)
    cut = [value >= threshold for value in saliency.ravel()]
    counted = adaptive_counts(saliency, truth)
    assert counted.selected.tolist() == [sum(cut)]
    both = [c and t for c, t in zip(cut, truth.ravel(), strict=True)]
    assert counted.hits.tolist() == [sum(both)]


def literal_e(cut, truth):
    """Sum the enhanced alignment over pixels, as the paper writes it."""
    size = len(cut)
    if not any(truth):
        matrix = [1 - c for c in cut]
    elif all(truth):
        matrix = [float(c) for c in cut]
    else:
        map_mean, truth_mean = sum(cut) / size, sum(truth) / size
        matrix = []
        for c, t in zip(cut, truth, strict=True):
            a, b = c - map_mean, t - truth_mean
            matrix.append((2 * a * b / (a * a + b * b) + 1) ** 2 / 4)
    return sum(matrix) / max(size - 1, 1)


@given(masks_and_truths())
def test_e_equals_the_paper_read_one_pixel_at_a_time(pair):
    saliency, truth = normalised(pair[0]), pair[1]
    found = e_measure(counts(saliency, truth))
    for threshold, cut in cuts(saliency):
        expected = literal_e(cut, truth.ravel().tolist())
        assert found[threshold] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("found", "hits", "positives", "expected"),
    [
        pytest.param(4, 3, 6, (3 / 4, 3 / 6), id="some"),
        pytest.param(0, 0, 6, (0, 0), id="nothing-found"),
        pytest.param(4, 0, 0, (0, 0), id="no-object"),
    ],
)
def test_precision_and_recall_are_shares_and_0_where_there_is_nothing(
    found, hits, positives, expected
):
    counted = Counts(np.array([found]), np.array([hits]), positives, 10)
    assert (precision(counted).item(), recall(counted).item()) == expected


def test_f_weighs_precision_by_beta_squared():
    p, r = np.array([0.5, 0.9, 0.0, 1.0]), np.array([0.8, 0.1, 0.0, 0.0])
    expected = [1.3 * 0.5 * 0.8 / (0.3 * 0.5 + 0.8), 1.3 * 0.9 * 0.1 / (0.3 * 0.9 + 0.1), 0, 0]
    assert_allclose(f_measure(p, r), expected)
    assert f_measure(p, r, beta_squared=1.0)[0] == pytest.approx(2 * 0.5 * 0.8 / 1.3)
