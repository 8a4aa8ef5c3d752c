"""What superpixels are made of and whom they touch, read pixel by pixel."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from support.graphs import color_graphs, segmented_pictures

from dilo.pipeline.saliency.classical.regions import contact_bits, region_sums, two_hop_neighbors


@st.composite
def scattered_pictures(draw):
    """Draw a picture whose superpixels are scattered pixels, not all in use."""
    height, width, count = (draw(st.integers(1, n)) for n in (9, 9, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, rng.integers(0, count, (height, width), dtype=np.int32)


pictures = segmented_pictures() | scattered_pictures()


@given(pictures, st.integers(0, 2))
def test_sums_are_those_of_the_pixels_one_by_one(picture, unused):
    image, labels = picture
    count = int(labels.max()) + 1 + unused
    expected, pixels = [[0] * 5 for _ in range(count)], [0] * count
    for row, column in np.ndindex(*labels.shape):
        label = labels[row, column]
        pixels[label] += 1
        for i, value in enumerate((*image[row, column], row, column)):
            expected[label][i] += int(value)
    sums, found = region_sums(image, labels, count)
    assert_array_equal(sums, expected)
    assert_array_equal(found, pixels)


def test_sums_of_a_large_white_image_are_exact():
    image = np.full((700, 800, 3), 255, np.uint8)
    sums, pixels = region_sums(image, np.zeros((700, 800), np.int32), 1)
    n = 700 * 800
    assert sums.tolist() == [[255 * n] * 3 + [n * 699 // 2, n * 799 // 2]]
    assert pixels.tolist() == [n]


@given(pictures, st.integers(0, 2))
def test_bits_tell_who_lies_left_or_above_of_whom_and_who_across(picture, unused):
    _, labels = picture
    count = int(labels.max()) + 1 + unused
    expected = np.zeros((count, count), int)
    steps = {(0, 1): 1, (1, 0): 1, (1, 1): 2, (1, -1): 2}
    place = dict(np.ndenumerate(labels))
    for (row, column), label in place.items():
        for (down, right), bit in steps.items():
            other = place.get((row + down, column + right), label)
            if other != label:
                expected[label, other] |= bit
    assert_array_equal(contact_bits(labels, count), expected)


@given(color_graphs())
def test_two_steps_reach_the_neighbours_and_theirs(graph):
    _, adjacent, _ = graph
    before = adjacent.copy()
    near = two_hop_neighbors(adjacent)
    for i, j in itertools.product(range(len(adjacent)), repeat=2):
        through = any(adjacent[i, k] and adjacent[k, j] for k in range(len(adjacent)))
        assert near[i, j] == (i != j and (adjacent[i, j] or through))
    assert_array_equal(adjacent, before)
