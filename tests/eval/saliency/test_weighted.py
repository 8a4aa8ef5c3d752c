"""The weighted F-measure against the paper read literally, and in its limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from scipy.ndimage import distance_transform_edt
from support.maps import masks_and_truths

from dilo.eval.saliency.measures import normalised
from dilo.eval.saliency.weighted import weighted_errors, weighted_f_measure


def literal_errors(saliency, truth):
    """Weigh errors in loops over pixels; which of several nearest counts is scipy's choice."""
    height, width = truth.shape
    indices = distance_transform_edt(~truth, return_distances=False, return_indices=True)
    error = np.abs(saliency - truth)
    dependent = np.empty_like(error)
    distance = np.empty_like(error)
    for r in range(height):
        for c in range(width):
            objects = np.argwhere(truth)
            distance[r, c] = min(math.hypot(r - i, c - j) for i, j in objects)
            i, j = indices[:, r, c]
            assert truth[i, j]
            assert math.hypot(r - i, c - j) == pytest.approx(distance[r, c])
            dependent[r, c] = error[i, j]
    weights = {(i, j): math.exp(-(i * i + j * j) / 50) for i in range(-3, 4) for j in range(-3, 4)}
    total = sum(weights.values())
    weighed = np.empty_like(error)
    for r in range(height):
        for c in range(width):
            company = sum(
                w / total * dependent[r + i, c + j]
                for (i, j), w in weights.items()
                if 0 <= r + i < height and 0 <= c + j < width
            )
            if truth[r, c]:
                weighed[r, c] = min(error[r, c], company)
            else:
                weighed[r, c] = error[r, c] * (2 - math.exp(math.log(0.5) / 5 * distance[r, c]))
    return weighed


@given(masks_and_truths())
def test_equals_the_paper_read_literally(pair):
    saliency, truth = normalised(pair[0]), pair[1]
    if not truth.any():
        assert weighted_f_measure(saliency, truth) == 0
        return
    errors = literal_errors(saliency, truth)
    assert_allclose(weighted_errors(saliency, truth), errors, atol=1e-12)
    hits = truth.sum() - errors[truth].sum()
    recall = 1 - errors[truth].mean()
    precision = hits / (hits + errors[~truth].sum()) if hits > 1e-12 else 0.0
    expected = 2 * precision * recall / (precision + recall) if hits > 1e-12 else 0.0
    assert weighted_f_measure(saliency, truth) == pytest.approx(expected, abs=1e-9)


def test_an_error_weighs_the_more_the_farther_it_is_from_the_object():
    truth = np.zeros((1, 21), bool)
    truth[0, 0] = True
    errors = weighted_errors(np.ones((1, 21)), truth)[0]
    assert errors[5] == pytest.approx(1.5)
    assert errors[10] == pytest.approx(1.75)
    assert np.all(np.diff(errors[1:]) > 0)


def test_a_hole_in_a_found_object_is_vouched_for_by_its_neighbours():
    truth = np.ones((21, 21), bool)
    saliency = np.ones((21, 21))
    saliency[10, 10] = 0
    errors = weighted_errors(saliency, truth)
    window = np.exp(-np.square(np.arange(-3, 4)) / 50)
    assert errors[10, 10] == pytest.approx(1 / window.sum() ** 2)
    assert errors.sum() == pytest.approx(errors[10, 10])


def test_a_full_truth_has_no_precision_to_lose():
    saliency = np.full((30, 30), 0.25)
    truth = np.ones((30, 30), bool)
    recall = 1 - weighted_errors(saliency, truth).mean()
    assert weighted_f_measure(saliency, truth) == pytest.approx(2 * recall / (1 + recall))
