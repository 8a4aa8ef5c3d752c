"""Stores side by side: images matched by path, every mask in its place, columns told apart."""

import re

import numpy as np
import pytest
from support.backgrounds import built, crops_by, masks_of
from support.photographs import photograph_folder
from support.stores import even_images, even_store

from dilo.pipeline.errors import StoreError
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.sheets import CAPTION, CELL, GAP
from dilo.pipeline.masks.preview import Comparison

NAMES = ["a/0.png", "a/1.png", "b/0.png"]


def centres(sheet, *, heads=1):
    """Give the colour at the middle of every cell, row by row."""
    pixels = np.asarray(sheet)
    step, top = CELL + CAPTION + GAP, GAP + heads * CAPTION + GAP
    rows = range(top + CELL // 2, pixels.shape[0], step)
    columns = range(GAP + CELL // 2, pixels.shape[1], CELL + GAP)
    return [[tuple(pixels[row, column].tolist()) for column in columns] for row in rows]


def gray(level):
    return (level, level, level)


def test_a_row_is_an_image_and_its_mask_in_every_store_in_the_order_given(tmp_path):
    images = even_images(tmp_path / "images", NAMES)
    one = even_store(tmp_path / "one", dict(zip(NAMES, (10, 20, 30), strict=True)))
    levels = dict(zip(reversed(NAMES), (130, 120, 110), strict=True))
    two = even_store(tmp_path / "two", levels, method="gs", size=12)
    sheet = Comparison.open([two, one]).sheet(FolderSource(images), NAMES)
    assert sheet.size == (3 * (CELL + GAP) + GAP, 3 * (CELL + CAPTION + GAP) + CAPTION + 2 * GAP)
    assert centres(sheet) == [
        [(255, 0, 0), gray(110), gray(10)],
        [(235, 0, 20), gray(120), gray(20)],
        [(215, 0, 40), gray(130), gray(30)],
    ]


def test_images_that_not_all_stores_have_are_left_out_and_counted(tmp_path):
    one = even_store(tmp_path / "one", {"c.png": 1, "b.png": 2, "a.png": 3})
    two = even_store(tmp_path / "two", {"d.png": 1, "a.png": 2, "b.png": 3})
    three = even_store(tmp_path / "three", {"b.png": 1, "a.png": 2, "e.png": 3, "c.png": 4})
    found = Comparison.open([one, two, three])
    assert list(found.names) == ["a.png", "b.png"]
    assert found.skipped == 3
    assert list(Comparison.open([three, two, one]).names) == ["a.png", "b.png"]
    alone = Comparison.open([one, one])
    assert (list(alone.names), alone.skipped) == (["c.png", "b.png", "a.png"], 0)


def test_columns_are_headed_by_method_and_refinement(tmp_path):
    refine = {"refine": {"method": "grabcut", "certain": 0.5}}
    stores = [
        even_store(tmp_path / "x", {"a.png": 1}, method="consensus"),
        even_store(tmp_path / "y", {"a.png": 1}, method="consensus", parameters=refine),
        even_store(tmp_path / "cam maps", {"a.png": 1}, method="imported"),
    ]
    titles = ["consensus", "consensus + grabcut", "cam maps"]
    assert Comparison.open(stores).titles() == titles


def test_methods_that_are_alike_are_told_apart_by_their_folders(tmp_path):
    folders = ["new/masks", "old/masks", "gs", "mc"]
    methods = ["rbd", "rbd", "gs", "imported"]
    stores = [
        even_store(tmp_path / folder, {"a.png": 1}, method=method)
        for folder, method in zip(folders, methods, strict=True)
    ]
    found = Comparison.open(stores).titles()
    assert found == ["rbd\nnew/masks", "rbd\nold/masks", "gs", "mc"]
    assert Comparison.open([stores[0], stores[0]]).titles() == ["rbd\nmasks", "rbd\nmasks"]


def test_every_column_has_its_head_cut_to_its_width(tmp_path):
    images = even_images(tmp_path / "images", NAMES)
    stores = [
        even_store(tmp_path / name, dict.fromkeys(NAMES, 9)) for name in ("short", "long" * 20)
    ]
    pixels = np.asarray(Comparison.open(stores).sheet(FolderSource(images), NAMES[:1]))
    for line, headed in enumerate([(True, True, True), (False, True, True)]):
        top = GAP + line * CAPTION
        for column, there in enumerate(headed):
            left = GAP + column * (CELL + GAP)
            cell = pixels[top : top + CAPTION, left : left + CELL]
            assert (cell < 128).any() == there
            assert (pixels[top : top + CAPTION, left + CELL : left + CELL + GAP] == 255).all()


def test_what_failed_is_a_blank_with_its_reason_and_no_mask(tmp_path):
    images = even_images(tmp_path / "images", NAMES)
    (images / NAMES[2]).write_bytes(b"no image")
    reason = "its mask must be gray, got colours: save only the mask of it, please"
    levels = (10, reason, 30)
    one = even_store(tmp_path / "one", dict(zip(NAMES, levels, strict=True)))
    two = even_store(tmp_path / "two", dict.fromkeys(NAMES, 250), method="gs")
    sheet = Comparison.open([one, two]).sheet(FolderSource(images), NAMES)
    sound = [[(255, 0, 0), gray(10), gray(250)], [(235, 0, 20), None, gray(250)]]
    for found, expected in zip(centres(sheet), sound, strict=False):
        assert [e is None or f == e for f, e in zip(found, expected, strict=True)] == [True] * 3

    def lines(row, column):
        """Count the lines of words on the gray of a blank; -1 where there is another picture."""
        top, left = 2 * GAP + CAPTION + row * (CELL + CAPTION + GAP), GAP + column * (CELL + GAP)
        cell = np.asarray(sheet)[top : top + CELL, left : left + CELL]
        blank = np.flatnonzero((cell[:, 0] == 230).all(axis=1))
        if len(blank) == 0:
            return -1
        dark = (cell[blank[0] + GAP : blank[-1]] < 128).any(axis=(1, 2))
        return sum(dark[start : start + CAPTION].any() for start in range(0, len(dark), CAPTION))

    found = [[int(lines(row, column)) for column in range(3)] for row in range(3)]
    # In a cell, the words about the mask break into more than two lines; those about the
    # image are "not an image"; nothing more is said of its masks.
    assert found[:2] == [[-1, -1, -1], [-1, max(found[1][1], 3), -1]]
    assert found[2] == [1, 0, 0]


def test_stores_of_other_images_are_refused_by_name(tmp_path):
    one = even_store(tmp_path / "one", {"a/1.png": 1, "a/2.png": 1})
    two = even_store(tmp_path / "two", {"1.png": 1})
    message = (
        f"{two} must have masks of images of {one}, got none by the same path: it has 1.png, not "
        "a/1.png: make the masks of one folder of images"
    )
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        Comparison.open([one, two])


def test_backgrounds_and_other_folders_are_refused(tmp_path):
    images = photograph_folder(tmp_path / "images", 2)
    masks = masks_of(images, tmp_path / "masks")
    crops = built(images, tmp_path / "crops", crops_by(masks), masks)
    message = "crops must be a store of masks to be compared, got kind 'backgrounds': preview"
    with pytest.raises(StoreError, match=message):
        Comparison.open([masks.folder, crops])
    with pytest.raises(StoreError, match=r"must be a store made by dilo-prep, got no plan\.json"):
        Comparison.open([masks.folder, images])
