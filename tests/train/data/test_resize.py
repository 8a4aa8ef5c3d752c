"""Resizing: the triangle filter read literally, and Pillow's to a gray level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image

from dilo.train.data.resize import resize

#: Of the longer tests, so that a scale of a hundred occurs, and an enlargement.
LARGEST = 300


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def pillows(pixels, size, rows, columns):
    """Resize a box of (H, W, C) with Pillow, to (C, size, size)."""
    box = (columns[0], rows[0], columns[1], rows[1])
    planes = [Image.fromarray(plane) for plane in np.moveaxis(pixels, 2, 0)]
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(p.resize((size, size), bilinear, box=box)) for p in planes])


def shares(count, start, end, size, place):
    """Weigh the old pixels of a line that a new one is mixed of."""
    scale = (end - start) / size
    center = start + (place + 0.5) * scale
    weights = [max(0.0, 1 - abs(old + 0.5 - center) / max(scale, 1.0)) for old in range(count)]
    return [weight / sum(weights) for weight in weights]


@st.composite
def spans(draw, largest):
    """Make a length and a part of it, half a pixel at least."""
    length = draw(st.integers(1, largest))
    start = draw(st.floats(0, length - 0.5))
    return length, (start, draw(st.floats(start + 0.5, length)))


@given(spans(14), spans(14), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_pixel_is_the_mean_of_the_old_ones_under_a_triangle(down, across, size, seed):
    (height, rows), (width, columns) = down, across
    pixels = noise(seed, height, width, 2)
    actual = resize(pixels, size, rows=rows, columns=columns)
    for channel in range(2):
        for row in range(size):
            for column in range(size):
                vertical = shares(height, *rows, size, row)
                horizontal = shares(width, *columns, size, column)
                exact = np.einsum("ij,i,j", pixels[..., channel], vertical, horizontal)
                # Half a level of rounding, and the 1 / 64 of the levels between the passes.
                assert abs(actual[channel, row, column] - exact) <= 0.52


@given(spans(LARGEST), spans(LARGEST), st.sampled_from([1, 3]), st.integers(3, 64))
@settings(max_examples=100, deadline=None)
def test_a_box_is_pillows_to_a_gray_level(down, across, channels, size):
    (height, rows), (width, columns) = down, across
    pixels = noise(size, height, width, channels)
    expected = pillows(pixels, size, rows, columns)
    actual = resize(pixels, size, rows=rows, columns=columns)
    assert np.abs(np.int64(actual) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (224, 224), (90, 120), (1200, 1600)])
def test_a_whole_photographs_size_is_pillows_to_a_gray_level(shape):
    pixels = noise(0, *shape, 3)
    expected = np.int64(pillows(pixels, 224, (0, shape[0]), (0, shape[1])))
    assert np.abs(resize(pixels, 224) - expected).max() <= 1


def test_at_its_own_size_nothing_changes():
    pixels = noise(1, 40, 40, 3)
    assert_array_equal(resize(pixels, 40), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 9), (500, 400), (3, 99999)])
def test_a_flat_image_stays_as_it_is(shape):
    for level in range(256):
        flat = np.full((*shape, 1), level, np.uint8)
        assert (resize(flat, 10) == level).all()


def test_a_flip_mirrors_left_and_right():
    pixels = noise(2, 31, 47, 3)
    assert_array_equal(resize(pixels, 20, flip=True), resize(pixels, 20)[..., ::-1])


def test_pixels_around_the_box_reach_into_it_unless_cut_off():
    pixels = np.zeros((40, 40, 1), np.uint8)
    pixels[:, 20:] = 255
    assert resize(pixels, 10, columns=(0, 20))[0, 0, -1] > 0
    assert not resize(pixels[:, :20], 10).any()


def test_any_order_in_memory_will_do():
    pixels = noise(3, 30, 50, 3)
    straight = resize(pixels, 16)
    apart = np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1)[::2, ::2]
    locked = pixels.copy()
    locked.setflags(write=False)
    for other in (np.asfortranarray(pixels), apart, locked):
        assert_array_equal(resize(other, 16), straight)
    assert straight.flags.c_contiguous
