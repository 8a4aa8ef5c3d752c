"""What is drawn: an order by key, first windows before second ones, any place of a texture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilo.pipeline.backgrounds.draws import (
    ORDER,
    TEXTURE,
    allot_windows,
    shuffled_order,
    texture_windows,
)
from dilo.pipeline.common.rng import generator


def test_an_order_is_a_permutation_that_its_key_decides():
    orders = {(s, n): shuffled_order(s, n, 50) for s in (0, 1, 2**64 - 1) for n in (0, 1, 1281)}
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == len(orders)
    assert shuffled_order(1, 1, 50) == orders[1, 1]


def test_streams_share_no_numbers():
    keys = [(0, ORDER, 0), (0, TEXTURE, 0), (0, TEXTURE, 1), (1, TEXTURE, 0)]
    drawn = [generator(*key).random(100) for key in keys]
    assert len(np.unique(np.concatenate(drawn))) == 400


def by_the_words(order, windows, quota):
    """Take first windows of as many images as needed, then second windows, and so on."""
    counts, turn = dict.fromkeys(order, 0), 0
    while turn < max(windows, default=0):
        for image in order:
            if windows[image] > turn and sum(counts.values()) < quota:
                counts[image] += 1
        turn += 1
    return counts


@given(
    st.lists(st.integers(0, 3), max_size=12).flatmap(
        lambda w: st.tuples(st.just(w), st.permutations(range(len(w))), st.integers(0, 30))
    )
)
def test_it_takes_what_the_words_say_and_asks_no_image_that_is_not_needed(drawn):
    windows, order, quota = drawn
    asked = []
    counts = allot_windows(order, lambda image: asked.append(image) or windows[image], quota)
    expected = by_the_words(order, windows, quota)
    assert {i: n for i, n in counts.items() if n} == {i: n for i, n in expected.items() if n}
    assert asked == list(counts)
    firsts = 0
    for image in asked:
        assert firsts < quota
        firsts += windows[image] > 0


@pytest.mark.parametrize("windows", [[2, 0, 1], []])
def test_without_a_quota_all_are_taken(windows):
    assert allot_windows(range(len(windows)), windows.__getitem__, None) == dict(enumerate(windows))


@pytest.mark.parametrize(
    ("shape", "side", "tops", "lefts"),
    [
        pytest.param((9, 12), 6, 4, 7, id="larger"),
        pytest.param((6, 6), 6, 1, 1, id="as-large"),
        pytest.param((4, 5), 6, 4, 5, id="smaller"),
        pytest.param((3, 8), 6, 3, 3, id="smaller-in-one"),
        pytest.param((1, 1), 6, 1, 1, id="one-pixel"),
    ],
)
def test_every_offset_allowed_is_as_likely(shape, side, tops, lefts):
    count = 20_000
    boxes = texture_windows(shape, side, count, np.random.default_rng(0))
    assert {box[2:] for box in boxes} == {(side, side)}
    table = np.zeros((tops, lefts), int)
    for top, left, _, _ in boxes:
        table[top, left] += 1
    expected = count / table.size
    assert abs(table - expected).max() < 5 * expected**0.5


def test_the_last_offset_is_reached_and_no_other():
    class Last:
        def random(self, shape):
            return np.full(shape, np.nextafter(1.0, 0.0))

    for length in (1, 3, 223, 224, 225, 511, 512, 16_384):
        ((top, left, _, _),) = texture_windows((length, length), 224, 1, Last())
        assert top == left == (length - 224 if length >= 224 else length - 1)


def test_more_windows_begin_with_the_same_ones():
    few, many = (
        texture_windows((512, 640), 224, count, np.random.default_rng(3)) for count in (3, 9)
    )
    assert many[:3] == few
    assert len(set(many)) == 9


@pytest.mark.parametrize(
    ("shape", "side", "count"), [((0, 4), 4, 1), ((4, 4), 0, 1), ((4, 4), 4, 0)]
)
def test_what_has_no_window_is_refused(shape, side, count):
    with pytest.raises(ValueError, match=r"at least 1, got \(\d, 4\), \d and \d"):
        texture_windows(shape, side, count, np.random.default_rng(0))
