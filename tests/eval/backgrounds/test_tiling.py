"""Backgrounds: the object's box filled from the largest window without salience."""

import numpy as np

from dilo.eval.backgrounds.variations import fill_object_box

SIDE = 16


def picture():
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def test_the_box_repeats_the_window_and_the_rest_stays():
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[2:5, 9] = 11  # a cross, whose box is rows 2 to 11 and columns 6 to 12
    mask[11, 6:13] = 200
    pixels = picture()
    made = fill_object_box(pixels, mask)
    # The largest boxes that no salient pixel touches: rows 0 to 10, columns 0 to 8 (99 pixels);
    # columns 0 to 5, all rows (96). Right of it 10 to 15, rows 0 to 10 (66).
    for row in range(SIDE):
        for column in range(SIDE):
            inside = 2 <= row <= 11 and 6 <= column <= 12
            expected = pixels[row % 11, column % 9] if inside else pixels[row, column]
            assert (made[row, column] == expected).all(), (row, column)


def test_faint_saliency_is_no_object():
    mask = np.full((SIDE, SIDE), 10, np.uint8)
    assert fill_object_box(picture(), mask) is None  # nothing was found
    mask[8:10, 8:10] = 255
    pixels = picture()
    made = fill_object_box(pixels, mask)
    assert (made[:8] == pixels[:8]).all()
    # Rows 10 to 15 or 0 to 7 are free; the latter are more.
    assert (made[8:10, 8:10] == pixels[0:2, 8:10]).all()


def test_a_picture_full_of_the_object_gives_no_background():
    mask = np.full((SIDE, SIDE), 255, np.uint8)
    mask[:, :3] = 0  # narrower than a quarter
    assert fill_object_box(picture(), mask) is None
    mask[:, :4] = 0
    made = fill_object_box(picture(), mask)
    assert (made == np.tile(picture()[:, :4], (1, 4, 1))).all()
