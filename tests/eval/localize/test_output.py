"""The sheet: truth in green, the map's box in orange, two cells an image."""

import numpy as np
import pytest

from dilo.eval.localize.boxes import components
from dilo.eval.localize.ground_truth import Objects, Sample
from dilo.eval.localize.output import CELL, FOUND, TRUE, example_sheet
from dilo.eval.localize.scoring import MethodScores
from dilo.pipeline.images.sheets import CAPTION, GAP

SIDE = 20


def drawn(shape, saliency):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[5:15, 5:15] = True
    image = np.full((SIDE, SIDE, 3), 90, np.uint8)
    sample = Sample("1", "a/1.jpg", shape, image, Objects(mask, components(mask)[0]), [])
    score = MethodScores([0.5], [1.0], [0.25], [False])
    return np.asarray(example_sheet(score, [("best 1", 0)], [sample], [saliency], across=1)).astype(
        int
    )


def where(pixels, colour):
    rows, columns = np.nonzero((pixels == colour).all(axis=2))
    return rows.min() - GAP, rows.max() - GAP, columns.min() - GAP, columns.max() - GAP


def test_truth_and_box_are_drawn_where_they_are():
    saliency = np.zeros((SIDE, SIDE))
    saliency[10:20, 0:10] = 1
    pixels = drawn((SIDE, SIDE), saliency)
    assert pixels.shape == (CELL + CAPTION + 2 * GAP, 2 * (CELL + GAP) + GAP, 3)
    left = pixels[:, : CELL + GAP]
    assert where(left, FOUND) == (100, 199, 0, 99)
    top, bottom, first, last = where(left, TRUE)
    assert all(
        abs(a - b) <= 1 for a, b in zip((top, bottom, first, last), (50, 149) * 2, strict=True)
    )
    right = pixels[:, CELL + 2 * GAP :]
    assert where(np.pad(right, ((0, 0), (GAP, 0), (0, 0))), FOUND) == (100, 199, 0, 99)


def test_an_image_keeps_its_proportions():
    saliency = np.ones((SIDE, SIDE))
    saliency[0, 0] = 0.9  # not constant, and all else above a fifth of the greatest value
    pixels = drawn((100, 50), saliency)
    assert where(pixels[:, : CELL + GAP], FOUND) == (0, 199, 50, 149)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_map_that_says_nothing_has_no_box(value):
    pixels = drawn((SIDE, SIDE), np.full((SIDE, SIDE), value))
    assert not (pixels == FOUND).all(axis=2).any()
    assert (pixels == TRUE).all(axis=2).any()
