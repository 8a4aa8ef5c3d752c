"""Masks that others made: one reader, one set of rules, and each deviation said."""

import numpy as np
import pytest
from PIL import Image

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.masks.files import (
    mask_files,
    read_mask,
    remarks,
    require_same_picture,
    same_proportions,
    white,
)

MASK = np.zeros((6, 8), np.uint8)
MASK[2:4, 3:6] = 255


def save(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode).save(path)


@pytest.mark.parametrize("colour", [0, 255, (9, 200, 30)])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_an_object_in_the_alpha_channel_is_the_mask_and_is_said(tmp_path, colour, suffix):
    pixels = np.dstack([np.full((6, 8, 3), colour, np.uint8), MASK])
    if suffix == ".webp":
        Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=True, exact=True)
    else:
        save(tmp_path / f"a{suffix}", pixels)
    said = []
    assert np.array_equal(read_mask(tmp_path / f"a{suffix}", said.append), MASK)
    assert said == ["have their object in the alpha channel, which is used"]


def test_an_alpha_channel_beside_a_gray_mask_changes_nothing(tmp_path):
    said = []
    for alpha in (np.full_like(MASK, 255), np.arange(48, dtype=np.uint8).reshape(6, 8)):
        save(tmp_path / "a.png", np.dstack([MASK, MASK, MASK, alpha]))
        assert np.array_equal(read_mask(tmp_path / "a.png", said.append), MASK)
    assert not said


def test_colours_without_alpha_and_what_is_no_picture_are_refused(tmp_path):
    save(tmp_path / "a.png", np.dstack([MASK, MASK, 255 - MASK]))
    with pytest.raises(ImageError, match=r"^its mask must be gray, got colours"):
        read_mask(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"\x1f\x8b")
    with pytest.raises(ImageError, match="its mask: not an image but a gzip archive"):
        read_mask(tmp_path / "a.png")


def test_truth_is_white_above_128_and_black_everywhere_is_empty():
    assert np.array_equal(white(MASK), MASK > 0)
    assert not white(np.zeros_like(MASK)).any()
    for top in (1, 7, 128):
        with pytest.raises(ImageError, match=rf"must be white .*, got at most {top}: save it"):
            white(np.minimum(MASK, np.uint8(top)))


def test_the_masks_of_a_folder_are_its_pngs_and_else_its_other_pictures(tmp_path):
    save(tmp_path / "b.jpg", MASK)
    save(tmp_path / "a.bmp", MASK)
    assert list(mask_files(tmp_path)) == ["a.bmp", "b.jpg"]
    with pytest.raises(DiloError, match="beside their images must be PNGs, got none"):
        mask_files(tmp_path, tmp_path)
    save(tmp_path / "c.png", MASK)
    (tmp_path / "c.png").rename(tmp_path / "c.PNG")
    assert list(mask_files(tmp_path)) == list(mask_files(tmp_path, tmp_path)) == ["c.PNG"]


def test_what_is_odd_about_masks_is_said_once_a_kind(tmp_path):
    for i in range(40):
        save(tmp_path / f"{i:02}.png", (MASK > 0).astype(np.uint8) if i % 2 else MASK)
    (tmp_path / "00.png").write_bytes(b"broken")
    files = mask_files(tmp_path)
    (line,) = remarks(tmp_path, files)
    assert line.startswith(f"{tmp_path}: masks hold 0 and 1, taken as 0 and 255 (")
    assert line.endswith("of 16 looked at)")
    assert remarks(tmp_path, files[:1]) == []
    save(tmp_path / "j" / "a.jpg", MASK)
    (line,) = remarks(tmp_path / "j", ["a.jpg"])
    assert "are JPEG, which blurs edges" in line


def test_a_mask_has_the_proportions_of_its_image_or_is_square():
    for mask in ((6, 8), (12, 16), (3, 4), (5, 5), (224, 224), (30, 40)):
        require_same_picture(mask, (60, 80))
    assert not same_proportions((8, 6), (60, 80))
    with pytest.raises(ImageError, match="proportions, 80 x 60, or be square, got 6 x 8"):
        require_same_picture((8, 6), (60, 80))
