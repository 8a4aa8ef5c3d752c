"""Sheets: every picture in its place, bad images said in words."""

import numpy as np
import pytest
from support.photographs import photograph_folder

from dilo.pipeline.build import Builder
from dilo.pipeline.masks import prepare
from dilo.pipeline.preview import foreground, mask_sheet, stretched
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.sheets import CAPTION, CELL, GAP, Picture, sheet
from dilo.pipeline.store import MaskStore


def test_a_cell_holds_its_picture_whole_and_in_proportion():
    red = np.zeros((10, 20, 3), np.uint8)
    red[:, :, 0] = 255
    canvas = np.asarray(sheet([[Picture(red), Picture(red[:, :10], "word")], [Picture(red)]]))
    step = CELL + CAPTION + GAP
    assert canvas.shape == (2 * step + GAP, 2 * (CELL + GAP) + GAP, 3)
    is_red = (canvas == [255, 0, 0]).all(axis=2)
    assert is_red[:step, : CELL + GAP].sum() == CELL * CELL // 2
    assert is_red[:step, CELL + GAP :].sum() == CELL * CELL
    assert is_red[step:, CELL + GAP :].sum() == 0


def test_the_foreground_is_the_image_through_its_mask():
    image = np.full((6, 4, 3), 200, np.uint8)
    mask = np.zeros((8, 8), np.uint8)
    assert (foreground(image, mask) == 127).all()
    assert (foreground(image, mask + 255) == 200).all()


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (3, 2), (50, 3)])
def test_a_store_is_shown_with_its_failures(tmp_path, count, rows):
    images = photograph_folder(tmp_path / "images", 4)
    (images / "class1" / "bad.jpg").write_bytes(b"")
    store = tmp_path / "store"
    plan = prepare(images, store, recipe=MaskRecipe.named("rbd"), size=32)
    for shard in range(plan.shards):
        Builder(images, store)(shard)
    picture = mask_sheet(MaskStore(store), images, count=count, seed=0)
    assert picture.height == rows * (CELL + CAPTION + GAP) + GAP
    assert np.asarray(picture).std() > 10


def test_a_mask_of_the_right_size_is_left_alone():
    mask = np.arange(35, dtype=np.uint8).reshape(5, 7)
    assert stretched(mask, (5, 7)) is mask
    assert stretched(mask, (5, 7, 3)) is mask
    assert stretched(mask, (10, 9)).shape == (10, 9)


def test_a_caption_of_two_lines_makes_room_for_both():
    blank = np.full((4, 4), 255, np.uint8)
    one = np.asarray(sheet([[Picture(blank, "one"), Picture(blank)]]))
    two = np.asarray(sheet([[Picture(blank, "one\ntwo"), Picture(blank)]]))
    assert two.shape[0] == one.shape[0] + CAPTION
    assert (two[: one.shape[0] - GAP] == one[: one.shape[0] - GAP]).all()
    assert (two[one.shape[0] - GAP :, :CELL] < 200).any()
