"""`dilo-prep preview`: one store or several, drawn images or chosen ones."""

import numpy as np
import pytest
from PIL import Image
from support.cli import invoke
from support.stores import even_images, even_store

from dilo.pipeline.cli import main
from dilo.pipeline.images.sheets import CAPTION, CELL, GAP
from dilo.pipeline.store import MaskStore

NAMES = [f"{'ab'[i % 2]}/{i}.png" for i in range(8)]
STEP = CELL + CAPTION + GAP


@pytest.fixture
def data(tmp_path):
    """Write images and three stores, the last of which has two images fewer."""
    even_images(tmp_path / "images", NAMES)
    even_store(tmp_path / "rbd", dict.fromkeys(NAMES, 50))
    even_store(tmp_path / "gs", dict.fromkeys(NAMES, 90), method="gs", size=12)
    even_store(tmp_path / "mc", dict.fromkeys([*NAMES[2:], "x.png"], 130), method="mc")
    return tmp_path


def preview(data, *more, stores=("rbd", "gs"), status=0):
    words = ["preview", *(data / store for store in stores), "--images", data / "images"]
    return invoke(main, *words, "--out", data / "sheet.png", *more, status=status)


def shown(data, *, stores):
    """Tell which images a sheet shows, by their colours: two a row of a single store."""
    with Image.open(data / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    top, columns = (2 * GAP + CAPTION, (0,)) if stores > 1 else (GAP, (0, 3))
    blue = [
        int(pixels[row, GAP + column * (CELL + GAP) + CELL // 2, 2])
        for row in range(top + CELL // 2, pixels.shape[0], STEP)
        for column in columns
    ]
    return [NAMES[value // 20] for value in blue if value < 255]


def test_several_stores_are_drawn_side_by_side(data):
    result = preview(data, "--count", 3)
    size = f"{3 * (CELL + GAP) + GAP} x {3 * STEP + CAPTION + 2 * GAP}"
    assert result.stdout == f"{data / 'sheet.png'}: {size} pixels\n"
    assert result.stderr == "8 images are in all 2 stores\n"


def test_what_only_some_stores_have_is_left_out_and_said(data):
    said = preview(data, stores=("mc", "gs", "rbd")).stderr
    assert "6 images are in all 3 stores; 3 skipped, which only some have\n" in said
    assert shown(data, stores=3) == sorted(NAMES[2:])


def test_one_seed_draws_the_same_images_of_one_store_and_of_several(data):
    drawn = {}
    for seed in (0, 1, 2):
        preview(data, "--count", 4, "--seed", seed)
        drawn[seed] = shown(data, stores=2)
        preview(data, "--count", 4, "--seed", seed, stores=("gs",))
        assert shown(data, stores=1) == drawn[seed]
        assert len(set(drawn[seed])) == 4
    assert len(set(map(tuple, drawn.values()))) > 1


@pytest.mark.parametrize("stores", [("gs",), ("rbd", "gs")])
def test_queries_are_shown_in_their_order_by_path_or_path_in_the_folder(data, stores):
    queries = ("--query", NAMES[5], "--query", data / "images" / NAMES[1])
    preview(data, *queries, "--count", 1, stores=stores)
    assert shown(data, stores=len(stores)) == [NAMES[5], NAMES[1]]


def test_a_query_that_not_all_stores_have_is_refused(data):
    said = preview(data, "--query", NAMES[0], stores=("gs", "mc"), status=3).stderr
    rule = f"must be an image of {data / 'gs'} and {data / 'mc'}, got {NAMES[0]}"
    assert f"{rule}: give its path in {data / 'images'}" in said


def test_stores_without_an_image_in_common_are_refused(data):
    even_store(data / "far", {"7.png": 1})
    said = preview(data, stores=("gs", "far"), status=3).stderr
    assert f"{data / 'far'} must have masks of images of {data / 'gs'}, got none" in said
    assert not (data / "sheet.png").exists()


def test_masks_need_the_folder_that_they_are_of(data):
    words = ("preview", data / "gs", data / "mc", "--out", data / "sheet.png")
    said = invoke(main, *words, status=2).stderr
    assert "a preview of masks needs the folder of their images: give --images DIR" in said


@pytest.mark.parametrize("stores", [("gs",), ("rbd", "gs")])
@pytest.mark.parametrize("wrong", ["rbd", "gone"])
def test_a_folder_without_any_of_the_images_is_refused_not_drawn_in_gray(data, stores, wrong):
    (data / "gone").mkdir()
    words = ["preview", *(data / store for store in stores), "--images", data / wrong]
    said = invoke(main, *words, "--out", data / "sheet.png", status=3).stderr
    assert f"--images {data / wrong} must hold the images to be shown, got no " in said
    assert not (data / "sheet.png").exists()


def test_images_that_cannot_be_shown_are_counted(data):
    (data / "images" / NAMES[0]).unlink()
    said = preview(data, "--count", 8, stores=("gs",)).stderr
    assert "1 of 8 images cannot be read: the sheet shows why\n" in said


@pytest.mark.parametrize("off", ["a", "..", "../.."])
def test_a_folder_above_or_below_the_right_one_is_named_with_it(data, off):
    (data / "deep").mkdir()
    (data / "images").rename(data / "deep" / "images")
    images = data / "deep" / "images"
    even_store(data / "one", {"a/0.png": 1})
    words = ("preview", data / "one", "--images", images / off, "--out", data / "sheet.png")
    said = invoke(main, *words, status=3).stderr
    if off == "../..":  # two levels off is not guessed
        assert "is it the folder that the store was made of" in said
    else:
        assert f"give {(images / off).resolve().parent if off == 'a' else images}" in said.replace(
            "/images/../", "/"
        )


def test_a_store_says_in_a_line_what_it_is(data):
    assert repr(MaskStore(data / "gs")) == f"MaskStore('{data}/gs': 8 masks of 12 x 12, gs)"
