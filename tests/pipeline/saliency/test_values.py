"""Values stretched and cut in two, by their definitions read literally."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from dilo.pipeline.saliency.values import otsu_threshold, stretch


def test_the_same_values_stretch_to_nought():
    assert stretch(np.array([3.0, 3.0])).tolist() == [0, 0]
    assert stretch(np.array([7.0])).tolist() == [0]
    assert_allclose(stretch(np.array([1.0, 2.0, 5.0])), [0, 0.25, 1], rtol=1e-14)


def test_rounding_is_not_stretched():
    assert stretch(np.array([0.1 + 0.2, 0.3, 0.3])).tolist() == [0, 0, 0]
    assert stretch(np.array([-50.0, -50.0 * (1 + 1e-14)])).tolist() == [0, 0]
    assert stretch(np.array([0.0, 1e-17, 1e-14])).tolist() == [0, 0, 0]
    assert_allclose(stretch(np.array([1e-8, 3e-8, 2e-8])), [0, 1, 0.5], atol=1e-12)
    assert_allclose(stretch(np.array([1.0, 1 + 1e-8])), [0, 1], atol=1e-6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_stretched_values_lie_from_nought_to_one_in_the_same_order(values):
    values = np.array(values)
    found = stretch(values)
    assert found.min() == 0
    assert found.max() <= 1
    low, high = values.min(), values.max()
    if high - low > 1e-9 * max(1, abs(low), abs(high)):
        expected = [(value - low) / (high - low) for value in values]
        assert_allclose(found, expected, rtol=1e-12)
        assert found.max() == 1
    else:
        assert found.max() == 0
    assert (np.diff(found[np.argsort(values)]) >= 0).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_otsu_separates_the_classes_that_lie_furthest_apart(values):
    bins = [math.floor(255 * v + 0.5) for v in values]
    between = []
    for cut in range(256):
        low, high = [b for b in bins if b <= cut], [b for b in bins if b > cut]
        if low and high:
            gap = sum(high) / len(high) - sum(low) / len(low)
            between.append(len(low) * len(high) * gap**2)
        else:
            between.append(0.0)
    best = max(between)
    tied = [cut for cut, b in enumerate(between) if math.isclose(b, best, rel_tol=1e-9)]
    expected = sum(tied) / len(tied) / 255 if best > 0 else 0.0
    assert math.isclose(otsu_threshold(np.array(values)), expected, abs_tol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_one_value_has_no_threshold(value):
    assert otsu_threshold(np.full(9, value)) == 0
