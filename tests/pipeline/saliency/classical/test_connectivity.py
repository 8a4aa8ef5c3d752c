"""Connected superpixels: the rule read part by part, on sets of pixels, and its laws."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from scipy import ndimage

from dilo.pipeline.saliency.classical.slic import connected

maps = arrays(
    np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-1, 3)
)


def _sides(pixel):
    row, column = pixel
    return [(row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column)]


def _flooded(labels):
    """List the connected parts as sets of pixels, in the order of their first pixels."""
    left = {pixel: label for pixel, label in np.ndenumerate(labels)}
    parts = []
    while left:
        first = min(left)
        label, part, waiting = left.pop(first), {first}, [first]
        while waiting:
            for pixel in _sides(waiting.pop()):
                if left.get(pixel) == label:
                    del left[pixel]
                    part.add(pixel)
                    waiting.append(pixel)
        parts.append(part)
    return parts


def _joined_once(labels, smallest):
    parts = _flooded(labels)
    own = [set(part) for part in parts]  # what each was before any joined it
    number = {pixel: i for i, part in enumerate(parts) for pixel in part}
    for mine in own:
        here = number[min(mine)]
        if len(parts[here]) >= smallest:
            continue
        border = {}
        for pixel in mine:
            for side in _sides(pixel):
                other = number.get(side, here)
                if other != here:
                    border[other] = border.get(other, 0) + 1
        if border:
            best = min(other for other, length in border.items() if length == max(border.values()))
            parts[best] |= parts[here]
            number |= dict.fromkeys(parts[here], best)
            parts[here] = set()
    found = sorted((part for part in parts if part), key=min)
    expected = np.empty(labels.shape, int)
    for label, part in enumerate(found):
        for pixel in part:
            expected[pixel] = label
    return expected


def _literally(labels, smallest):
    found = _joined_once(labels, smallest)
    while found.max() > 0 and np.bincount(found.ravel()).min() < smallest:
        found = _joined_once(found, smallest)
    return found


@given(maps, st.integers(0, 12))
def test_equals_the_rule_read_part_by_part(labels, smallest):
    assert_array_equal(connected(labels, smallest), _literally(labels, smallest))


@given(maps, st.integers(0, 12))
def test_each_label_is_one_part_that_is_large_enough(labels, smallest):
    found = connected(labels, smallest)
    assert found.dtype == np.int32
    assert_array_equal(np.unique(found), np.arange(found.max() + 1))
    for label in range(found.max() + 1):
        assert ndimage.label(found == label)[1] == 1
    assert np.bincount(found.ravel()).min() >= min(smallest, found.size)


@given(maps, st.integers(0, 12))
def test_labels_come_in_the_order_of_their_first_pixels(labels, smallest):
    found = connected(labels, smallest).ravel()
    firsts = [np.flatnonzero(found == label)[0] for label in range(found.max() + 1)]
    assert firsts == sorted(firsts)


@given(maps, st.integers(0, 12))
def test_what_is_fine_already_stays_as_it_is(labels, smallest):
    once = connected(labels, smallest)
    assert_array_equal(connected(once, smallest), once)
    # By any other numbers too.
    assert_array_equal(connected(3 * (once.max() - once) - 1, smallest), once)


def test_the_map_that_is_given_is_not_written_to():
    labels = np.array([[0, 1, 0], [0, 0, 0]], np.int32)
    before = labels.copy()
    assert_array_equal(connected(labels, 2), np.zeros((2, 3)))
    assert_array_equal(labels, before)


def test_a_small_part_joins_where_most_of_its_border_is():
    labels = np.array([[0, 0, 0, 0], [0, 2, 1, 1], [1, 1, 1, 1]], np.int32)
    expected = [[0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]]  # 2 sides with each: the first
    assert_array_equal(connected(labels, 2), expected)
    labels = np.array([[0, 0, 0], [1, 2, 1], [1, 1, 1]], np.int32)  # 1 side with 0, 3 with 1
    assert_array_equal(connected(labels, 2), [[0, 0, 0], [1, 1, 1], [1, 1, 1]])


def test_a_small_ring_and_what_it_encloses_join_their_surroundings_together():
    labels = np.zeros((7, 7), np.int32)
    labels[2:5, 2:5], labels[3, 3] = 1, 2
    labels[:2, 3] = labels[5:, 3] = 3  # splits the outside: the ring's longest border is inside
    labels[3, :2] = labels[3, 5:] = 3
    found = connected(labels, 10)
    assert np.bincount(found.ravel()).min() >= 10


@pytest.mark.parametrize("shape", [(200, 200), (1, 40_000), (40_000, 1)])
@pytest.mark.parametrize("smallest", [1, 100, 40_000])
def test_thousands_of_single_pixels_take_no_time(shape, smallest):
    connected(np.zeros((1, 1), np.int32), 1)  # compiles
    distinct = np.arange(40_000, dtype=np.int32).reshape(shape)
    checks = (np.indices(shape).sum(axis=0) % 2).astype(np.int32)
    start = time.perf_counter()
    counts = {int(connected(labels, smallest).max()) + 1 for labels in (distinct, checks)}
    assert time.perf_counter() - start < 1
    assert counts == ({40_000} if smallest == 1 else {1})
