"""The order of images: groups, buckets, resuming, ranks."""

import dataclasses
import itertools

import numpy as np
import pytest
from support.detection import annotated, set_of
from support.detectors import small_recipe
from support.ranks import on_ranks

from dilo.eval.detect.batches import GroupedBatches
from dilo.pipeline.errors import DiloError
from dilo.train.data.draws import sample_order

RECIPE = small_recipe(iterations=30)
#: Every third image is higher than wide.
DATA = set_of([annotated(n, [], [], size=(80, 60) if n % 3 == 0 else (60, 80)) for n in range(11)])


def test_each_group_deals_its_part_of_the_endless_shuffles_into_two_buckets():
    stream = [int(image) for epoch in range(40) for image in sample_order(0, epoch, 11)]
    for group in range(2):
        buckets, expected = {0: [], 1: []}, []
        for image in stream[group::2]:
            bucket = buckets[int(image % 3 == 0)]
            bucket.append(image)
            if len(bucket) == 2:
                expected.append(tuple(bucket))
                bucket.clear()
        keys = itertools.chain.from_iterable(GroupedBatches(DATA, RECIPE))
        images = [key.image for key in keys if key.group == group]
        assert list(zip(images[::2], images[1::2], strict=True)) == expected[:30]


def test_a_batch_holds_its_groups_one_after_another():
    for iteration, batch in enumerate(GroupedBatches(DATA, RECIPE)):
        places = [(key.iteration, key.group, key.place) for key in batch]
        assert places == [(iteration, g, p) for g in range(2) for p in range(2)]
        for group in (batch[:2], batch[2:]):
            assert len({key.image % 3 == 0 for key in group}) == 1


def test_batches_from_an_iteration_on_are_those_of_the_whole_run():
    whole = list(GroupedBatches(DATA, RECIPE))
    later = GroupedBatches(DATA, RECIPE, 17)
    assert len(later) == 13
    assert list(later) == whole[17:]
    assert (
        list(GroupedBatches(DATA, RECIPE, 30, 33)) == list(GroupedBatches(DATA, RECIPE, 0, 33))[30:]
    )


def test_all_images_are_met_about_as_often():
    recipe = small_recipe(iterations=110)
    images = [key.image for batch in GroupedBatches(DATA, recipe) for key in batch]
    assert np.bincount(images).min() >= 35  # of 40, but for what waits in a bucket


def test_ranks_share_the_groups_of_one_process(monkeypatch):
    alone = list(GroupedBatches(DATA, RECIPE))
    shares = on_ranks(monkeypatch, 2, lambda rank: list(GroupedBatches(DATA, RECIPE)))
    together = [first + second for first, second in zip(*shares, strict=True)]
    assert together == alone


def test_ranks_that_cannot_share_the_groups_are_refused(monkeypatch):
    with pytest.raises(DiloError, match="--groups must be a multiple of the 3 processes, got 2"):
        on_ranks(monkeypatch, 3, lambda rank: GroupedBatches(DATA, RECIPE))


def test_a_set_smaller_than_a_batch_is_dealt_all_the_same():
    data = dataclasses.replace(DATA, images=DATA.images[:1])
    batches = list(GroupedBatches(data, small_recipe(iterations=3)))
    assert [key.image for batch in batches for key in batch] == [0] * 12
