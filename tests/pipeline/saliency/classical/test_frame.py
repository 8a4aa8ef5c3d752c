"""The frame round a picture: found where one is, and the rule read pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from dilo.pipeline.saliency.classical.frame import inside_frame
from dilo.pipeline.saliency.parameters import SuperpixelParameters

PARAMETERS = SuperpixelParameters()
SIZE = 224


def _photo(size: int = SIZE) -> np.ndarray:
    """Paint a smooth, bright picture."""
    rows, columns = np.indices((size, size)) / size
    waves = 170 + 60 * np.sin(5 * rows + 2) * np.cos(4 * columns)
    return np.stack([waves, waves * 0.9, waves * 0.7], axis=2).astype(np.uint8)


@pytest.mark.parametrize("width", [2, 5, 12])
def test_a_black_frame_is_left_out_to_the_pixel_or_one_more(width):
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[width:-width, width:-width] = _photo()[width:-width, width:-width]
    for side in inside_frame(image, PARAMETERS):
        assert width <= side.start <= width + 1
        assert width <= SIZE - side.stop <= width + 1


def test_sides_without_a_frame_take_the_widest():
    image = _photo()
    image[:10], image[:, :5] = 0, 0
    rows, columns = inside_frame(image, PARAMETERS)
    assert rows.start in (10, 11)
    assert columns.start in (5, 6)
    assert SIZE - rows.stop == SIZE - columns.stop == rows.start


@pytest.mark.parametrize("size", [1, 2, 3, 8, 30, SIZE])
def test_a_photo_without_a_frame_is_left_whole(size):
    assert inside_frame(_photo(size), PARAMETERS) == (slice(0, size), slice(0, size))


@pytest.mark.parametrize(("shape", "framed"), [((60, 300), "columns"), ((300, 60), "rows")])
def test_a_frame_is_looked_for_within_a_share_of_each_side_s_own_length(shape, framed):
    image = np.full((*shape, 3), 180, np.uint8)
    if framed == "columns":
        image[:, :20] = 0
    else:
        image[:20] = 0
    parameters = SuperpixelParameters(frame_reach=0.1)
    height, width = shape
    rows, columns = inside_frame(image, parameters)
    found, side = (columns, width) if framed == "columns" else (rows, height)
    assert found.start in (20, 21)
    assert side - found.stop == found.start


def test_a_strip_too_thin_to_lose_a_frame_is_left_whole():
    image = np.zeros((4, 300, 3), np.uint8)
    image[:, 20:-20] = 255
    assert inside_frame(image, PARAMETERS) == (slice(0, 4), slice(0, 300))


def test_a_frame_that_leaves_nothing_is_none():
    gray = [[255, 255, 255, 0, 255, 0], [0, 255, 0, 255, 255, 0]]
    gray += [[255, 0, 255, 255, 255, 255], [255, 255, 255, 0, 255, 255]]
    image = np.repeat(np.array(gray, np.uint8)[:, :, np.newaxis], 3, axis=2)
    parameters = SuperpixelParameters(frame_reach=0.5, frame_density=0.3, frame_edge=1.0)
    # Two rows from above and two from below are all four.
    assert inside_frame(image, parameters) == (slice(0, 4), slice(0, 6))


def _literally(image, reach, density):
    height, width = image.shape[:2]
    reaches = {"rows": int(reach * height), "columns": int(reach * width)}
    gray = [[int(image[r, c] @ [299, 587, 114]) for c in range(width)] for r in range(height)]

    def at(r, c):
        return gray[min(max(r, 0), height - 1)][min(max(c, 0), width - 1)]

    def gradient(r, c):
        if not (0 <= r < height and 0 <= c < width):
            return 0, 0
        weights = ((-1, 1), (0, 2), (1, 1))
        across = sum(w * (at(r + k, c + 1) - at(r + k, c - 1)) for k, w in weights)
        down = sum(w * (at(r + 1, c + k) - at(r - 1, c + k)) for k, w in weights)
        return abs(across), abs(down)

    squared = {
        (r, c): sum(g**2 for g in gradient(r, c))
        for r in range(-1, height + 1)
        for c in range(-1, width + 1)
    }
    threshold = 4 * sum(squared.values()) / (height * width)

    def edge(r, c):
        across, down = gradient(r, c)
        here = squared[r, c]
        peak = across >= down and squared[r, c - 1] <= here > squared[r, c + 1]
        peak = peak or (down >= across and squared[r - 1, c] <= here > squared[r + 1, c])
        return here > threshold and peak

    edges = np.array([[edge(r, c) for c in range(width)] for r in range(height)])
    widths = []
    for lines, kind in (
        (edges, "rows"),
        (edges[::-1], "rows"),
        (edges.T, "columns"),
        (edges.T[::-1], "columns"),
    ):
        last = 0
        for index in range(reaches[kind]):
            if lines[index].mean() > density:
                last = index + 1
        widths.append(last)
    top, bottom, left, right = (w or max(widths) for w in widths)
    if top + bottom >= height or left + right >= width:
        return slice(0, height), slice(0, width)
    return slice(top, height - bottom), slice(left, width - right)


@given(
    st.integers(1, 16),
    st.integers(1, 16),
    st.integers(0, 3),
    st.sampled_from([0.0857, 0.3, 0.5]),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_rule_read_one_pixel_at_a_time(height, width, frame, reach, seed):
    rng = np.random.default_rng(seed)
    image = rng.choice(np.array([0, 0, 40, 200], np.uint8), (height, width, 3))
    image[:frame], image[:, :frame] = 255, 255
    parameters = SuperpixelParameters(frame_reach=reach, frame_density=0.4)
    assert inside_frame(image, parameters) == _literally(image, reach, 0.4)


def test_mirroring_a_framed_picture_keeps_its_size():
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[6:-6, 6:-6] = _photo()[6:-6, 6:-6]
    sizes = [
        [side.stop - side.start for side in inside_frame(view, PARAMETERS)]
        for view in (image, image[::-1], image[:, ::-1])
    ]
    assert_array_equal(sizes[1:], sizes[:-1])
