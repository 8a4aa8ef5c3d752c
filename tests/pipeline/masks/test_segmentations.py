"""Run lengths and outlines to pixels, to the last one as COCO's own API paints them."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from dilo.pipeline.errors import ContentError
from dilo.pipeline.masks.segmentations import (
    parse_segmentation,
    run_lengths,
    segmentation_mask,
)

WHERE = "annotations[3]"


def painted(value, shape):
    return segmentation_mask(parse_segmentation(value, WHERE, None), shape)


@pytest.mark.parametrize("seed", range(40))
def test_run_lengths_are_read_as_cocos_api_writes_them(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 70, 2).tolist()
    mask = rng.random((height, width)) < rng.random()
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    runs = {"size": [height, width], "counts": packed}
    np.testing.assert_array_equal(painted(runs, (1, 1)), mask)
    plain = {"size": [height, width], "counts": run_lengths(packed).tolist()}
    np.testing.assert_array_equal(painted(plain, (1, 1)), mask)


def test_long_runs_have_numbers_of_many_characters():
    mask = np.zeros((3000, 2000), np.uint8, order="F")
    mask[10:2500, 7:1990] = 1
    mask[:, 1000:1500] = 0
    packed = coco_mask.encode(mask)["counts"].decode()
    np.testing.assert_array_equal(painted({"size": [3000, 2000], "counts": packed}, (1, 1)), mask)


@pytest.mark.parametrize("seed", range(60))
def test_outlines_are_painted_as_cocos_api_does(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 70, 2).tolist()
    outlines = []
    for _ in range(rng.integers(1, 4)):
        corners = rng.uniform(-0.3, 1.3, (rng.integers(3, 12), 2)) * [width, height]
        outlines.append((np.round(corners) if seed % 3 == 0 else corners).ravel().tolist())
    runs = coco_mask.merge(coco_mask.frPyObjects(outlines, height, width))
    np.testing.assert_array_equal(painted(outlines, (height, width)), coco_mask.decode(runs))


def test_an_outline_of_two_corners_and_none_at_all_enclose_nothing():
    assert not painted([[1, 1, 5, 5]], (9, 9)).any()
    assert not painted([], (9, 9)).any()


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "52203",
        [[1, 2, 3]],
        [[1, 2, 3, "x"]],
        [[1, 2, 3, float("nan")]],
        [[1, 2, 3, 10**400]],
        {"size": [4, 4]},
        {"size": [4], "counts": "52203"},
        {"size": [4, 4.0], "counts": "52203"},
        {"size": [0, 4], "counts": []},
        {"size": [2**20, 2**20], "counts": "52203"},
        {"size": [4, 4], "counts": [5, 2, 2, 2, 4]},
        {"size": [4, 4], "counts": [17, -1]},
        {"size": [4, 4], "counts": [5, 2.0, 2, 2, 5]},
    ],
)
def test_what_is_no_mask_is_refused_with_its_place(value):
    with pytest.raises(ContentError, match=r"^annotations\[3\]: segmentation must be polygons"):
        parse_segmentation(value, WHERE, None)


def test_run_lengths_of_another_size_than_asked_for_are_refused():
    runs = {"size": [4, 4], "counts": "52203"}
    assert parse_segmentation(runs, WHERE, (4, 4)) == runs
    with pytest.raises(
        ContentError, match=r"of the image's size, \[2, 8\], got \{'size': \[4, 4\]"
    ):
        parse_segmentation(runs, WHERE, (2, 8))


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ("", "packed as COCO's are"),
        ("52203P", "packed as COCO's are"),  # its last number goes on
        ("522 3", "packed as COCO's are"),
        ("522é3", "packed as COCO's are"),
        ("P" * 30 + "0", "packed as COCO's are"),
        ("52204", "must add up to 16, got 17"),
        ("O5", "must be from 0"),
    ],
)
def test_run_lengths_that_are_damaged_are_refused(counts, words):
    with pytest.raises(ContentError, match=words):
        painted({"size": [4, 4], "counts": counts}, (4, 4))


def test_an_outline_far_away_is_refused_before_it_is_walked_along():
    with pytest.raises(ContentError, match=r"near it, got a corner at 1e\+15"):
        painted([[0, 0, 1e15, 0, 5, 5]], (9, 9))
