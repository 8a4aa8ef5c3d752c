"""Sheets: every picture in its place, bad images said in words."""

import numpy as np
import pytest
from PIL import Image
from support.photographs import photograph_folder
from support.stores import create_mask_store

from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.images.sheets import CAPTION, CELL, GAP, Picture, sheet, text_cell
from dilo.pipeline.masks import preview
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.masks.preview import Comparison, choose_images, foreground, mask_sheet
from dilo.pipeline.saliency import MaskRecipe
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
    plan = create_mask_store(images, store, recipe=MaskRecipe.create("rbd"), size=32)
    for shard in range(plan.shards):
        ShardBuilder(FolderSource(images), store, MethodSource()).build(shard)
    masks = MaskStore(store)
    picture = mask_sheet(
        masks, FolderSource(images), choose_images(masks.names, count=count, seed=0)
    )
    assert picture.height == rows * (CELL + CAPTION + GAP) + GAP
    assert np.asarray(picture).std() > 10


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path, monkeypatch):
    captions = []

    def read(rows, **_):
        captions.append([picture.caption for row in rows for picture in row])
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(preview, "sheet", read)
    for name in ("ant/1.png", "bee/1.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
    create_mask_store(tmp_path / "images", tmp_path / "s", recipe=MaskRecipe.create("rbd"), size=8)
    ShardBuilder(FolderSource(tmp_path / "images"), tmp_path / "s", MethodSource()).build(0)
    stores = Comparison.open([tmp_path / "s"])
    mask_sheet(stores.stores[0], FolderSource(tmp_path / "images"), list(stores.names))
    stores.sheet(FolderSource(tmp_path / "images"), list(stores.names))
    assert captions[0][::3] == captions[1][::2] == ["ant/1.png", "bee/1.png"]


def test_what_is_drawn_hangs_on_the_seed_and_keeps_the_order():
    names = [f"{i}.jpg" for i in range(20)]
    some = [choose_images(names, count=5, seed=seed) for seed in (0, 0, 1)]
    assert some[0] == some[1] != some[2]
    assert all(sorted(found, key=names.index) == found for found in some)
    assert all(len(set(found)) == 5 for found in some)
    assert choose_images(names, count=99, seed=3) == names


def test_a_mask_of_the_right_size_is_left_alone():
    mask = np.arange(35, dtype=np.uint8).reshape(5, 7)
    assert stretch_mask(mask, (5, 7)) is mask
    assert stretch_mask(mask, (5, 7, 3)) is mask
    assert stretch_mask(mask, (10, 9)).shape == (10, 9)


def test_a_caption_of_two_lines_makes_room_for_both():
    blank = np.full((4, 4), 255, np.uint8)
    one = np.asarray(sheet([[Picture(blank, "one"), Picture(blank)]]))
    two = np.asarray(sheet([[Picture(blank, "one\ntwo"), Picture(blank)]]))
    assert two.shape[0] == one.shape[0] + CAPTION
    assert (two[: one.shape[0] - GAP] == one[: one.shape[0] - GAP]).all()
    assert (two[one.shape[0] - GAP :, :CELL] < 200).any()


def test_words_above_columns_make_room_for_themselves():
    blank = np.full((4, 4), 255, np.uint8)
    plain = np.asarray(sheet([[Picture(blank, "word"), Picture(blank)]]))
    headed = np.asarray(
        sheet([[Picture(blank, "word"), Picture(blank)]], column_titles=["", "two\nlines"])
    )
    added = 2 * CAPTION + GAP
    assert (headed[added:] == plain).all()
    assert (headed[:added, : GAP + CELL] == 255).all()
    assert (headed[GAP : GAP + CAPTION, GAP + CELL :] < 128).any()
    assert (headed[GAP + CAPTION : added, GAP + CELL :] < 128).any()


def test_a_tight_row_is_as_high_as_its_highest_picture():
    wide, square = np.zeros((10, 40, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    pixels = np.asarray(
        sheet([[Picture(wide)], [Picture(wide), Picture(square)]], shrink_rows=True)
    )
    assert pixels.shape[0] == CELL // 4 + CELL + 2 * (CAPTION + GAP) + GAP
    rows = (pixels[:, GAP] == 0).all(axis=1).nonzero()[0]
    middle = GAP + CELL // 4 + CAPTION + GAP + CELL // 2
    expected = [*range(GAP, GAP + CELL // 4), *range(middle - CELL // 8, middle + CELL // 8)]
    assert rows.tolist() == expected


def test_a_notice_is_as_high_as_its_words_and_no_higher_than_a_cell():
    none, few, many = text_cell(""), text_cell("word"), text_cell("word " * 200)
    assert none.shape == few.shape == (CAPTION + 2 * GAP, CELL, 3)
    assert CELL - CAPTION < many.shape[0] <= CELL
    assert (none == 230).all()
    for cell in (few, many):
        inside = cell[GAP:-GAP, GAP:-GAP]
        assert (cell == 230).sum() - (inside == 230).sum() == cell.size - inside.size
        lines = inside.reshape(-1, CAPTION, *inside.shape[1:])
        assert (lines < 128).any(axis=(1, 2, 3)).all()
