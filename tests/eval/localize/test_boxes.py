"""Boxes against hand cases, and against one contour after the other."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilo.eval.localize.boxes import (
    components,
    contour_boxes,
    filled,
    largest_component,
    scaled,
)


def boxes(*rows):
    return np.array(rows, np.int64).reshape(-1, 4)


def mask(*rows):
    return np.array([[letter == "#" for letter in row] for row in rows])


def test_components_hang_together_by_corners():
    found, pixels = components(mask("#....", ".#...", "....#", "....#", "..#.."))
    by_box = dict(zip(map(tuple, found.tolist()), pixels.tolist(), strict=True))
    assert by_box == {(0, 0, 1, 1): 2, (4, 2, 4, 3): 2, (2, 4, 2, 4): 1}
    assert components(mask("..", ".."))[0].shape == (0, 4)


def test_the_largest_component_has_the_most_pixels_not_the_largest_box():
    assert largest_component(mask("##..#", "##.#.", "##...")).tolist() == [[0, 0, 1, 2]]
    assert largest_component(mask("...", "..#")).tolist() == [[2, 1, 2, 1]]
    assert largest_component(mask("...")).shape == (0, 4)


def test_a_contour_s_box_ends_one_pixel_beyond_it_but_within_the_map():
    found, largest = contour_boxes(mask("....", ".##.", "....", "...."))
    assert (found.tolist(), largest) == ([[1, 1, 3, 2]], 0)
    assert contour_boxes(mask("...", "..#"))[0].tolist() == [[2, 1, 2, 1]]


def test_nothing_is_the_pixel_in_the_corner():
    found, largest = contour_boxes(mask("....", "...."))
    assert (found.tolist(), largest) == ([[0, 0, 0, 0]], 0)


def test_a_hole_has_a_contour_too_and_the_outer_one_is_larger():
    found, largest = contour_boxes(mask("#####", "#...#", "#...#", "#####", "....."))
    assert found.tolist() == [[0, 0, 4, 4], [0, 0, 4, 4]]
    found, largest = contour_boxes(mask("######.", "######.", "##..##.", "######.", "######."))
    assert sorted(found.tolist()) == [[0, 0, 6, 4], [1, 1, 5, 4]]
    assert found[largest].tolist() == [0, 0, 6, 4]


@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_equals_one_contour_after_the_other(height, width, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.random((height, width)) < rng.random()
    contours, _ = cv2.findContours(pixels.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    found, largest = contour_boxes(pixels)
    if not contours:
        assert found.tolist() == [[0, 0, 0, 0]]
        return
    expected = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        expected.append([x, y, min(x + w, width - 1), min(y + h, height - 1)])
    assert found.tolist() == expected
    best = max(range(len(contours)), key=lambda i: cv2.contourArea(contours[i]))
    assert found[largest].tolist() == expected[best]


def test_boxes_are_scaled_rounded_down_and_kept_within():
    found = scaled(np.array([[10.0, 20.0, 100.0, 49.0]]), 100, 50, 224)
    assert found.tolist() == [[22, 89, 223, 219]]
    assert scaled(np.array([[0.0, 1.0, 7.0, 6.0]]), 8, 8, 8).tolist() == [[0, 1, 7, 6]]


@pytest.mark.parametrize("given_boxes", [[], [[0, 0, 1, 2]], [[0, 0, 1, 2], [1, 1, 3, 3]]])
def test_boxes_are_filled_to_the_last_column_and_row(given_boxes):
    expected = [
        [any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in given_boxes) for x in range(4)]
        for y in range(4)
    ]
    assert filled(boxes(*given_boxes), 4).tolist() == expected
