"""Counts of backgrounds, in words: what is zero in a sound store is not said."""

from collections import Counter

import pytest
from support.backgrounds import plan

from dilo.pipeline.backgrounds.counts import BackgroundCounts, count_backgrounds
from dilo.pipeline.store.shardfile import ShardSummary


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((7, 5, 0, 0, 0), "7 backgrounds from 5 images"),
        ((7, 5, 2, 0, 0), "7 backgrounds from 5 images; 2 images without a window"),
        (
            (1, 1, 2, 0, 0),
            "1 background from 1 image; 2 images without a window "
            "(a smaller --min-side or a larger --max-saliency finds more)",
        ),
        (
            (7, 5, 2, 3, 4),
            "7 backgrounds from 5 images; 2 images without a window; 3 images not drawn; "
            "4 fewer than --count",
        ),
    ],
)
def test_they_are_said_in_a_line(numbers, words):
    assert BackgroundCounts(*numbers).summary() == words


def test_shards_are_added_up():
    tallies = [
        ShardSummary({}, Counter({0: 3, 2: 1, 3: 5}), 6),
        ShardSummary({"a": "b"}, Counter({0: 1, 1: 1}), 1),
    ]
    assert count_backgrounds(plan(), [], tallies) == BackgroundCounts(7, 4, 1, 5, 0)
