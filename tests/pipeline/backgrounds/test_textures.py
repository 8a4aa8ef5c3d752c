"""Windows in textures: every place as likely, and pixels of the repeated picture."""

import numpy as np
import pytest

from dilo.pipeline.backgrounds.windows import texture_windows, tiled


@pytest.mark.parametrize(
    ("shape", "side", "tops", "lefts"),
    [
        pytest.param((9, 12), 6, 4, 7, id="larger"),
        pytest.param((6, 6), 6, 1, 1, id="as-large"),
        pytest.param((4, 5), 6, 4, 5, id="smaller"),
        pytest.param((3, 8), 6, 3, 3, id="smaller-in-one"),
        pytest.param((1, 1), 6, 1, 1, id="one-pixel"),
    ],
)
def test_every_offset_allowed_is_as_likely(shape, side, tops, lefts):
    count = 20_000
    boxes = texture_windows(shape, side, count, np.random.default_rng(0))
    assert {box[2:] for box in boxes} == {(side, side)}
    table = np.zeros((tops, lefts), int)
    for top, left, _, _ in boxes:
        table[top, left] += 1
    expected = count / table.size
    assert abs(table - expected).max() < 5 * expected**0.5


def test_the_last_offset_is_reached_and_no_other():
    class Last:
        def random(self, shape):
            return np.full(shape, np.nextafter(1.0, 0.0))

    for length in (1, 3, 223, 224, 225, 511, 512, 16_384):
        ((top, left, _, _),) = texture_windows((length, length), 224, 1, Last())
        assert top == left == (length - 224 if length >= 224 else length - 1)


def test_more_windows_begin_with_the_same_ones():
    few, many = (
        texture_windows((512, 640), 224, count, np.random.default_rng(3)) for count in (3, 9)
    )
    assert many[:3] == few
    assert len(set(many)) == 9


@pytest.mark.parametrize(
    "box", [(0, 0, 3, 5), (1, 2, 2, 3), (2, 4, 3, 5), (0, 0, 9, 20), (-1, -7, 4, 4), (7, 11, 1, 1)]
)
def test_a_box_is_cut_out_of_the_repeated_picture(box):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    top, left, height, width = box
    cut = tiled(pixels, box)
    assert cut.shape == (height, width, 3)
    assert cut.dtype == np.uint8
    for row, column in np.ndindex(height, width):
        assert (cut[row, column] == pixels[(top + row) % 3, (left + column) % 5]).all()


def test_a_box_within_is_a_copy():
    pixels = np.zeros((4, 4, 3), np.uint8)
    tiled(pixels, (0, 0, 4, 4))[:] = 255
    assert not pixels.any()


@pytest.mark.parametrize(
    ("shape", "side", "count"), [((0, 4), 4, 1), ((4, 4), 0, 1), ((4, 4), 4, 0)]
)
def test_what_has_no_window_is_refused(shape, side, count):
    with pytest.raises(ValueError, match=r"at least 1, got \(\d, 4\), \d and \d"):
        texture_windows(shape, side, count, np.random.default_rng(0))
