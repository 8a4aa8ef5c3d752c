"""What is drawn: an order by key, first windows before second ones, and no image too many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilo.pipeline.backgrounds.draws import ORDER, TEXTURE, taken, visiting_order
from dilo.pipeline.common.rng import generator


def test_an_order_is_a_permutation_that_its_key_decides():
    orders = {(s, n): visiting_order(s, n, 50) for s in (0, 1, 2**64 - 1) for n in (0, 1, 1281)}
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == len(orders)
    assert visiting_order(1, 1, 50) == orders[1, 1]


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
    counts = taken(order, lambda image: asked.append(image) or windows[image], quota)
    expected = by_the_words(order, windows, quota)
    assert {i: n for i, n in counts.items() if n} == {i: n for i, n in expected.items() if n}
    assert asked == list(counts)
    firsts = 0
    for image in asked:
        assert firsts < quota
        firsts += windows[image] > 0


@pytest.mark.parametrize("windows", [[2, 0, 1], []])
def test_without_a_quota_all_are_taken(windows):
    assert taken(range(len(windows)), windows.__getitem__, None) == dict(enumerate(windows))
