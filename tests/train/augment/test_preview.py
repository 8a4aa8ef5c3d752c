"""Sheets for the eye: both views as the network gets them, and pastes on every background."""

import dataclasses

import numpy as np
import pytest
from support.pictures import Pictures
from support.runs import photographs_and_masks, small_recipe

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.sheets import CAPTION, CELL, GAP
from dilo.train.augment.preview import paste_sheet, view_sheet
from dilo.train.data.draws import CROPS, TEXTURES
from dilo.train.data.images import find_image_set

ALWAYS = small_recipe("views.size=48", "paste.probability=1")
STORES = {TEXTURES: Pictures("textures", [(60, 60)] * 3), CROPS: Pictures("crops", [(60, 90)] * 3)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return find_image_set(*photographs_and_masks(tmp_path_factory.mktemp("data"), 10))


def cell(sheet, row, column):
    """Cut the middle of a cell."""
    top, left = GAP + row * (CELL + CAPTION + GAP), GAP + column * (CELL + GAP)
    pixels = np.asarray(sheet)[top : top + CELL, left : left + CELL]
    assert pixels.shape == (CELL, CELL, 3)
    return pixels.astype(int)


def test_figure_4_has_a_row_an_image_and_two_columns_a_background(source):
    sheet = paste_sheet(source, ALWAYS, STORES, count=5)
    assert sheet.width == GAP + 8 * (CELL + GAP)  # image, mask, and three backgrounds, twice
    assert sheet.height == GAP + 5 * (CELL + CAPTION + GAP)
    for column in (2, 4, 6):
        sharp, blurred = cell(sheet, 0, column), cell(sheet, 0, column + 1)
        assert np.abs(sharp - blurred).max() > 20  # the edge
        # Above the object lies the same background in both.
        assert np.abs(sharp[30] - blurred[30]).mean() < 6
    assert paste_sheet(source, ALWAYS, {}, count=5).width == GAP + 4 * (CELL + GAP)


def test_figure_4_does_not_ask_how_often_the_recipe_pastes(source):
    never = dataclasses.replace(ALWAYS, paste=dataclasses.replace(ALWAYS.paste, probability=0.0))
    assert paste_sheet(source, never, STORES, count=2).tobytes() == (
        paste_sheet(source, ALWAYS, STORES, count=2).tobytes()
    )


def test_figure_4_needs_masks(source):
    bare = find_image_set(source.folder, None)
    with pytest.raises(DiloError, match="needs images that can be pasted, got none with a mask"):
        paste_sheet(bare, ALWAYS, {})


def test_the_swap_stands_beside_the_views_and_has_the_background_of_the_first(source):
    recipe = small_recipe("views.size=48", "views.order=[]", "moco.swap_negatives=true")
    recipe = dataclasses.replace(recipe, paste=ALWAYS.paste)
    sheet = view_sheet(source, recipe, {}, count=3)
    assert sheet.width == GAP + 10 * (CELL + GAP)
    query, swap = cell(sheet, 0, 2), cell(sheet, 0, 4)
    assert np.abs(query - swap).mean() > 2
    assert (np.abs(query - swap).max(2) <= 1).mean() > 0.1


def test_the_views_are_of_the_first_epoch_with_pastes(source):
    late = small_recipe("views.size=48", "paste.probability=1", "paste.from_epoch=1")
    once = view_sheet(source, ALWAYS, {}, count=2), view_sheet(source, late, {}, count=2)
    assert once[0].tobytes() != once[1].tobytes()
    for sheet in once:  # both pasted: flat gray above the object
        assert np.ptp(cell(sheet, 0, 2)[:4, :4].max(2)) < 20


def test_two_samples_stand_in_a_row_each_with_both_of_its_views(source):
    sheet = view_sheet(source, ALWAYS, {}, count=3)
    assert sheet.width == GAP + 8 * (CELL + GAP)
    assert sheet.height == GAP + 2 * (CELL + CAPTION + GAP)
    first, second = cell(sheet, 0, 2), cell(sheet, 0, 3)
    assert np.abs(first - second).mean() > 5
    other = dataclasses.replace(ALWAYS, seed=1)
    assert view_sheet(source, other, {}, count=3).tobytes() != sheet.tobytes()
