"""Overlaps of boxes against hand cases and painted boxes: with the last pixel, and of edges."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dilo.eval.common.overlaps import overlaps
from dilo.eval.localize.boxes import filled


def boxes(*rows):
    return np.array(rows, np.int64).reshape(-1, 4)


def test_the_last_column_and_row_count_where_they_belong_to_a_box():
    shares = overlaps(boxes([0, 0, 1, 1], [0, 0, 0, 0]), boxes([0, 0, 1, 1], [1, 1, 2, 2]), last=1)
    assert shares.tolist() == [[1.0, 1 / 7], [1 / 4, 0.0]]
    assert overlaps(boxes([5, 5, 6, 6]), boxes([0, 0, 3, 9]), last=1).tolist() == [[0.0]]
    assert overlaps(boxes(), boxes([0, 0, 1, 1]), last=1).shape == (0, 1)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_an_overlap_is_that_of_painted_boxes(seed):
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.integers(0, 9, (2, 4, 2, 2)), axis=2)  # set, box, first and last, xy
    first, second = corners.reshape(2, 4, 4)
    for a, row in zip(first, overlaps(first, second, last=1), strict=True):
        for b, share in zip(second, row, strict=True):
            painted, other = filled(a[None], 9), filled(b[None], 9)
            assert share == (painted & other).sum() / (painted | other).sum()


def test_edges_have_no_pixel_more_and_boxes_without_area_do_not_overlap():
    box, others = np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 15, 10], [20, 20, 30, 30]])
    np.testing.assert_allclose(overlaps(box, others), [[1 / 3, 0]])
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0.0]]
