"""The S-measure against the paper read literally, and in its limits."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from support.maps import masks_and_truths

from dilo.eval.saliency.measures import normalised
from dilo.eval.saliency.structure import object_similarity, region_similarity, s_measure

EPS = 2.0**-52


def literal_object(values, truth):
    """Score foreground and background by mean and spread, weighed by area."""
    score = 0.0
    for kind in (True, False):
        side = [v if kind else 1 - v for v, t in zip(values, truth, strict=True) if t == kind]
        mean = sum(side) / len(side)
        spread = statistics.stdev(side) if len(side) > 1 else 0.0
        score += len(side) / len(truth) * 2 * mean / (mean**2 + 1 + spread)
    return score


def literal_ssim(x, y):
    """Structural similarity of two lists with the constants at zero."""
    n = len(x)
    mx, my = sum(x) / n, sum(y) / n
    if n == 1:
        return 1.0
    vx, vy = statistics.variance(x), statistics.variance(y)
    cov = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / (n - 1)
    numerator, denominator = 4 * mx * my * cov, (mx * mx + my * my) * (vx + vy)
    if numerator:
        return numerator / (denominator + EPS)
    return 1.0 if denominator == 0 else 0.0


def literal_region(saliency, truth):
    """Cut at the centroid, row and column of which belong to the upper left."""
    height, width = truth.shape
    rows, columns = np.nonzero(truth)
    row, column = round(statistics.fmean(rows)), round(statistics.fmean(columns))
    blocks = {}
    for r in range(height):
        for c in range(width):
            x, y = blocks.setdefault((r <= row, c <= column), ([], []))
            x.append(float(saliency[r, c]))
            y.append(float(truth[r, c]))
    return sum(len(x) / truth.size * literal_ssim(x, y) for x, y in blocks.values())


def soft(pair):
    """Give every pixel its own value: equal ones make variances that are rounding alone."""
    mask, truth = pair
    ramp = np.linspace(0, 0.01, truth.size).reshape(truth.shape)
    return 0.9 * normalised(mask) + ramp, truth


@given(masks_and_truths())
def test_equals_the_paper_read_literally(pair):
    saliency, truth = soft(pair)
    mean = float(saliency.mean())
    if not truth.any():
        expected = 1 - mean
    elif truth.all():
        expected = mean
    else:
        of_object = literal_object(saliency.ravel().tolist(), truth.ravel().tolist())
        of_region = literal_region(saliency, truth)
        assert object_similarity(saliency, truth) == pytest.approx(of_object)
        assert region_similarity(saliency, truth) == pytest.approx(of_region, abs=1e-9)
        expected = max(0.0, (of_object + of_region) / 2)
    assert s_measure(saliency, truth) == pytest.approx(expected, abs=1e-9)


def test_a_centroid_in_the_last_row_and_column_leaves_blocks_without_pixels():
    truth = np.zeros((3, 4), bool)
    truth[2, 3] = True
    assert region_similarity(truth.astype(np.float64), truth) == pytest.approx(1)
    assert s_measure(truth.astype(np.float64), truth) == pytest.approx(1)


def test_a_half_centroid_goes_to_the_even_row():
    truth = np.zeros((6, 1), bool)
    truth[[0, 1]] = True  # the centroid, 0.5, goes to row 0
    saliency = np.array([[0.9], [0.2], [0.4], [0.1], [0.3], [0.6]])
    below = literal_ssim(saliency[1:, 0].tolist(), [1.0, 0, 0, 0, 0])
    assert region_similarity(saliency, truth) == pytest.approx(1 / 6 + 5 / 6 * below)


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_without_an_object_or_a_background_only_the_mean_counts(value):
    saliency = np.full((4, 4), value)
    assert s_measure(saliency, np.zeros((4, 4), bool)) == 1 - value
    assert s_measure(saliency, np.ones((4, 4), bool)) == value


def test_the_object_part_of_a_map_of_one_value_has_a_closed_form():
    truth = np.zeros((4, 5), bool)
    truth[:2] = True
    for value in (0.25, 0.5):
        expected = value / (value**2 + 1) + (1 - value) / ((1 - value) ** 2 + 1)
        assert object_similarity(np.full((4, 5), value), truth) == pytest.approx(expected)


def test_an_inverted_map_cannot_fall_below_0():
    truth = np.zeros((9, 9), bool)
    truth[3:6, 3:6] = True
    assert region_similarity(1.0 - truth, truth) < 0
    assert s_measure(1.0 - truth, truth) == 0
    assert math.isclose(s_measure(truth.astype(np.float64), truth), 1)
