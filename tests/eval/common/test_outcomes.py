"""Outcomes: shares and differences by hand."""

import math

import numpy as np
import pytest

from dilo.eval.common.outcomes import mean_difference, proportion


def test_a_share_is_given_with_wilsons_interval():
    share = proportion(np.array([True] * 3 + [False] * 7))
    assert (share.value, share.images) == (30.0, 10)
    # The ends solve (share - p)^2 = z^2 p (1 - p) / n.
    for end in (share.low / 100, share.high / 100):
        assert abs(0.3 - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / 10))


def test_an_interval_holds_its_share_even_where_all_are_right_or_none():
    assert proportion(np.ones(7, bool)).high == 100.0
    assert proportion(np.zeros(7, bool)).low == 0.0
    assert proportion(np.zeros(0, bool)) is None


def test_the_difference_of_two_networks_is_mcnemars():
    # Of 50 images both are right on 20, the first alone on 12, the second alone on 3.
    first = np.array([1.0] * 32 + [0.0] * 18)
    second = np.array([1.0] * 20 + [0.0] * 12 + [1.0] * 3 + [0.0] * 15)
    share = mean_difference(first - second)
    reach = 1.959964 * math.sqrt(12 + 3 - (12 - 3) ** 2 / 50) / 50
    assert share.value == pytest.approx(100 * (12 - 3) / 50)
    assert (share.low, share.high) == pytest.approx((18 - 100 * reach, 18 + 100 * reach))
    assert share.images == 50
