"""Each measure on maps of 8 x 8 that one can count, and against its definition in loops."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from dilo.eval.attribution.heatmaps import levels, normalized
from dilo.eval.localize.boxes import components
from dilo.eval.localize.measures import (
    best_overlap,
    energy_inside,
    map_box,
    pixel_ap,
    pixel_counts,
    pixel_curve,
    pointing,
    threshold_overlaps,
)

TRUTH = np.zeros((8, 8), bool)
TRUTH[2:6, 1:5] = True  # 16 of 64 pixels
ZEROS = np.zeros((8, 8))


def spot(row, column, value=1.0):
    saliency = ZEROS.copy()
    saliency[row, column] = value
    return saliency


def drawn(seed, side=8):
    """Draw a map in few or many levels, and a truth with an object."""
    rng = np.random.default_rng(seed)
    truth = rng.random((side, side)) < rng.random()
    truth[rng.integers(side), rng.integers(side)] = True
    return rng.integers(0, rng.integers(2, 40), (side, side)).astype(float), truth


def test_energy_is_the_share_of_the_sum_on_the_object():
    assert energy_inside(spot(3, 3, 3.0) + spot(7, 7, 1.0), TRUTH) == 0.75
    assert energy_inside(np.ones((8, 8)), TRUTH) == 0.25  # as much as the object covers
    assert energy_inside(TRUTH.astype(float), TRUTH) == 1
    assert energy_inside(ZEROS, TRUTH) == 0


@pytest.mark.parametrize(
    ("row", "column", "tolerance", "hit"),
    [(2, 1, 0, 1), (1, 1, 0, 0), (1, 1, 1, 1), (1, 0, 1, 0), (1, 0, 1.5, 1), (7, 7, 3, 0)],
)
def test_pointing_hits_within_the_tolerance(row, column, tolerance, hit):
    assert pointing(spot(row, column), TRUTH, tolerance=tolerance) == hit


def test_pointing_forgives_fifteen_pixels_and_counts_ties_by_their_share():
    wide = np.zeros((40, 40), bool)
    wide[:, :10] = True
    saliency = np.zeros((40, 40))
    saliency[5, 24] = 1
    assert pointing(saliency, wide) == 1
    saliency[5, 25] = 2
    assert pointing(saliency, wide) == 0
    saliency[5, 24] = 2
    assert pointing(saliency, wide) == 0.5
    assert pointing(ZEROS, TRUTH, tolerance=0) == 0.25  # a point drawn blindly
    assert pointing(ZEROS, ZEROS > 0) == 0


def test_the_box_is_cut_strictly_above_a_fifth_of_the_greatest_value():
    saliency = spot(2, 2, 10.0) + spot(2, 3, 2.0) + spot(3, 2, 2.1) + spot(7, 7, 9.0)
    assert map_box(saliency).tolist() == [[2, 2, 2, 3]]
    assert map_box(ZEROS).shape == (0, 4)
    assert best_overlap(map_box(ZEROS), np.array([[0, 0, 1, 1]])) == 0
    assert best_overlap(map_box(saliency), np.array([[7, 7, 7, 7], [2, 2, 2, 2]])) == 0.5


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_thresholds_equal_the_benchmark_read_literally(seed):
    saliency, truth = drawn(seed)
    stretched, truths = normalized(saliency), components(truth)[0]
    cut = (stretched * 255).astype(np.uint8)
    largest, anyone = threshold_overlaps(levels(stretched), truths)
    thresholds = [int(t * 255) for t in np.arange(0, 1, 0.001)]
    assert sorted(set(thresholds)) == list(range(255))
    for threshold in sorted(set(thresholds)):
        image = cv2.threshold(cut, threshold, 255, cv2.THRESH_BINARY)[1]
        contours, _ = cv2.findContours(image, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        found = []
        for contour in sorted(contours, key=cv2.contourArea, reverse=True):
            x, y, w, h = cv2.boundingRect(contour)
            found.append((x, y, min(x + w, 7), min(y + h, 7)))
        shares = [max(iou(box, true) for true in truths.tolist()) for box in found or [(0,) * 4]]
        assert largest[threshold] == pytest.approx(shares[0])
        assert anyone[threshold] == pytest.approx(max(shares))


def iou(box, true):
    """Count pixels, the last column and row included."""
    across = min(box[2], true[2]) - max(box[0], true[0]) + 1
    down = min(box[3], true[3]) - max(box[1], true[1]) + 1
    shared = max(across, 0) * max(down, 0)
    areas = [(x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (box, true)]
    return shared / (sum(areas) - shared)


def test_a_perfect_map_overlaps_at_every_threshold_but_for_the_pixel_that_is_added():
    largest, anyone = threshold_overlaps(levels(TRUTH.astype(float)), components(TRUTH)[0])
    assert largest.tolist() == anyone.tolist() == [16 / 25] * 255


def test_a_map_of_zeros_has_the_box_in_the_corner():
    largest, anyone = threshold_overlaps(levels(ZEROS), np.array([[0, 0, 0, 1]]))
    assert largest.tolist() == anyone.tolist() == [0.5] * 255


def test_the_curve_is_that_of_the_pixels_of_all_images():
    counts = sum(
        pixel_counts(normalized(saliency), truth) for saliency, truth in map(drawn, range(3))
    )
    values = np.concatenate([normalized(drawn(i)[0]).ravel() for i in range(3)])
    truths = np.concatenate([drawn(i)[1].ravel() for i in range(3)])
    precision, recall = pixel_curve(counts)
    for place in range(0, 1001, 50):
        found = np.floor(1000 * values) >= 1000 - place
        assert recall[place] == truths[found].sum() / truths.sum()
        assert precision[place] == truths[found].sum() / max(found.sum(), 1)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_pixel_ap_is_the_sum_over_distinct_values_of_precision_times_recall_gained(seed):
    saliency, truth = drawn(seed)
    stretched = normalized(saliency)  # fewer than a thousand values, each in a bin of its own
    expected, before = 0.0, 0.0
    for value in sorted(set(stretched.ravel()), reverse=True):
        found = stretched >= value
        hits = (found & truth).sum()
        expected += hits / found.sum() * (hits / truth.sum() - before)
        before = hits / truth.sum()
    assert_allclose(pixel_ap(pixel_counts(stretched, truth)), expected)


def test_pixel_ap_of_a_perfect_map_of_zeros_and_without_object():
    assert pixel_ap(pixel_counts(TRUTH.astype(float), TRUTH)) == 1
    assert pixel_ap(pixel_counts(ZEROS, TRUTH)) == 0.25  # all pixels at once: the object's share
    assert pixel_ap(pixel_counts(ZEROS, ZEROS > 0)) == 0
