"""Masks of sets: which serve to learn from and to be scored against."""

import dataclasses

import numpy as np
import pytest
from support.detection import HEIGHT, WIDTH, annotated, set_of

from dilo.eval.detect.annotations import require_masks
from dilo.pipeline.errors import DiloError

TRIANGLE = np.array([10.0, 10, 30, 10, 30, 40])
RUNS = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}


def set_with(*masks, crowd=False):
    image = annotated("a", [[10, 10, 30, 40]] * len(masks), [0] * len(masks))
    crowds = np.full(len(masks), crowd)
    segmentation = None if None in masks else masks
    return set_of([dataclasses.replace(image, segmentation=segmentation, crowd=crowds)])


def test_polygons_serve_for_both_and_run_lengths_and_crowds_where_nothing_is_learnt_of_them():
    for learnt in (False, True):
        require_masks(set_with((TRIANGLE,), (TRIANGLE[:4], TRIANGLE)), learnt=learnt)
        require_masks(set_with(RUNS, crowd=True), learnt=learnt)
        require_masks(set_with(), learnt=learnt)
    require_masks(set_with(RUNS), learnt=False)
    require_masks(set_with((), (TRIANGLE[:4],)), learnt=True)  # such an object is left out


@pytest.mark.parametrize(
    ("masks", "learnt", "words"),
    [
        ((None,), True, r"a\.jpg must have a segmentation of each object in its annotations, got"),
        ((None,), False, r"a\.jpg must have a segmentation of each object in its annotations, got"),
        (((TRIANGLE,), RUNS), True, r"a\.jpg, object 2: .* must be polygons, got run lengths"),
        (((),), False, r"a\.jpg, object 1: .* must be run lengths or polygons of three points"),
        (((TRIANGLE[:4],),), False, r"object 1: .* must be run lengths or polygons of three"),
    ],
)
def test_what_cannot_be_learnt_or_scored_is_refused_with_what_to_do(masks, learnt, words):
    with pytest.raises(DiloError, match=rf"{words}.*--set model\.masks=false"):
        require_masks(set_with(*masks), learnt=learnt)
