"""Intervals of shares: what their definitions say, and published examples."""

import math

import pytest

from dilo.eval.common.intervals import Z, difference, wilson


@pytest.mark.parametrize(("right", "images"), [(0, 7), (1, 9), (50, 100), (2163, 3925), (12, 12)])
def test_the_ends_are_the_shares_that_lie_so_many_of_their_own_deviations_away(right, images):
    share = right / images
    for end in wilson(right, images):
        p = end / 100
        deviation = math.sqrt(p * (1 - p) / images)
        assert abs(share - p) == pytest.approx(Z * deviation, abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        # Newcombe 1998, table II, method 10.
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_differences_have_the_published_intervals(first, second, low, high):
    (x, m), (y, n) = first, second
    a, b = 100 * x / m, 100 * y / n
    ends = difference(a, wilson(x, m), b, wilson(y, n))
    assert ends == pytest.approx((100 * low, 100 * high), abs=0.005)


def test_the_difference_the_other_way_round_has_the_interval_mirrored():
    there = difference(3.0, (1.0, 4.0), 2.0, (1.5, 6.0))
    back = difference(2.0, (1.5, 6.0), 3.0, (1.0, 4.0))
    assert there == pytest.approx((-back[1], -back[0]))
