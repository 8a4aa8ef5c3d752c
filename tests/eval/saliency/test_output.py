"""Sheets: the best, the median and the worst masks, beside truth and image."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from support.maps import disc, save, write_maps

from dilo.eval.common.pairing import PngFolder, find_images_of_truth, open_masks
from dilo.eval.saliency.output import example_sheet, ranked
from dilo.eval.saliency.scoring import score
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.sheets import CAPTION, CELL, GAP


@pytest.mark.parametrize(
    ("values", "best", "median", "worst"),
    [
        ([0.1, 0.9, 0.5, 0.3, 0.7, 0.2, 0.8], [1, 6, 4], [4, 2, 3], [0, 5, 3]),
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 2], [0, 1, 2], [3, 2, 1]),
        ([0.2, 0.4], [1, 0], [1, 0], [0, 1]),
        ([0.2], [0], [0], [0]),
    ],
)
def test_masks_are_ranked_by_weighted_f(values, best, median, worst):
    found = ranked(SimpleNamespace(weighted_f=np.array(values)))
    assert found == {"best": best, "median": median, "worst": worst}


def drawn(root, images):
    truth = PngFolder(root / "truth", "--truth")
    method = open_masks("good", root / "good", truth.keys)
    (scored,) = score([method], truth, truth.keys, jobs=1, progress=lambda _: None)
    photographs = find_images_of_truth(images, list(truth.keys)) if images else None
    return np.asarray(example_sheet(scored, method, truth, photographs))


def cell(sheet, row, column):
    """Cut a cell out of a sheet, without its caption."""
    top, left = GAP + row * (CELL + CAPTION + GAP), GAP + column * (CELL + GAP)
    return sheet[top : top + CELL, left : left + CELL]


def centre(sheet, row, column):
    return cell(sheet, row, column)[CELL // 2, CELL // 2 - 12].tolist()


def test_a_sheet_has_three_triples_a_row(tmp_path):
    sheet = drawn(write_maps(tmp_path), tmp_path / "images")
    assert sheet.shape == (3 * (CELL + CAPTION + GAP) + GAP, 9 * (CELL + GAP) + GAP, 3)
    red, green, blue = centre(sheet, 0, 0)  # the image is magenta where the mask falls short
    assert min(red, blue) > 200
    assert green > 200
    assert centre(sheet, 0, 1) == [255, 255, 255]
    # The masks get worse by image: the first is best, the last, a wide one, worst.
    best, worst = cell(sheet, 0, 2), cell(sheet, 2, 2)
    assert np.array_equal(best, cell(sheet, 0, 1))
    assert not np.array_equal(worst, cell(sheet, 2, 1))
    assert np.all(worst[:40] == 255)  # paper above a picture of 16 x 40


def test_without_images_truth_and_mask_are_shown(tmp_path):
    sheet = drawn(write_maps(tmp_path), None)
    assert sheet.shape[1] == 6 * (CELL + GAP) + GAP
    assert np.array_equal(cell(sheet, 0, 0), cell(sheet, 0, 1))


def test_an_image_that_is_missing_or_broken_is_blank(tmp_path):
    write_maps(tmp_path)
    (tmp_path / "images" / "a" / "0.jpg").write_bytes(b"no picture")
    (tmp_path / "images" / "a" / "3.jpg").unlink()
    sheet = drawn(tmp_path, tmp_path / "images")
    assert np.all(cell(sheet, 0, 0) == 230)
    assert np.all(cell(sheet, 2, 0) == 230)
    assert not np.all(cell(sheet, 0, 3) == 230)


def test_a_photograph_goes_before_a_mask_of_its_name(tmp_path):
    save(tmp_path / "1.png", disc((5, 5), 2))
    save(tmp_path / "1.jpg", disc((5, 5), 2))
    save(tmp_path / "2.png", disc((5, 5), 2))
    assert find_images_of_truth(tmp_path, ["1", "2"]).files == {"1": "1.jpg", "2": "2.png"}


def test_images_of_other_names_are_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "other.jpg")
    with pytest.raises(DiloError, match=r"--images .* got other and the like"):
        find_images_of_truth(tmp_path, ["1"])
