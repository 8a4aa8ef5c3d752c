"""Superpixels: k-means read pixel by pixel, parts joined by the rule, what any division must be."""

import math
import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from scipy import ndimage
from skimage import data

from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency.classical.slic import (
    _assign,
    _cluster,
    _move,
    enforce_connectivity,
    slic,
)

SETTINGS = {"compactness": 20.0, "iterations": 10, "smallest": 0.25}
F = np.float32


@st.composite
def planes(draw):
    """Draw lightness, a and b of few values, so that distances are often the same."""
    height, width = draw(st.integers(1, 11)), draw(st.integers(1, 11))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = rng.integers(-20, 100, draw(st.integers(1, 6)))
    return rng.choice(levels, (3, height, width)).astype(F)


@st.composite
def clusters(draw):
    """Draw an image, centres anywhere, on whole and half pixels among others, and labels."""
    lab = draw(planes())
    _, height, width = lab.shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 6))
    place = rng.random((count, 2)) * (height, width)
    place = np.where(rng.random((count, 2)) < 0.6, np.floor(2 * place) / 2, place)
    color = lab.reshape(3, -1)[:, rng.integers(0, height * width, count)].T
    centers = np.concatenate([color, place], axis=1).astype(F)
    labels = rng.integers(-1, count, (height, width)).astype(np.int32)
    return lab, centers, labels


def _assigned(lab, centers, step, stiffness, before):
    """Give each pixel to the nearest centre within a step; of several, to the first."""
    labels = before.copy()
    for row, column in np.ndindex(*labels.shape):
        nearest = F(np.inf)
        for k, (*color, r, c) in enumerate(centers):
            if abs(row - float(r)) > step or abs(column - float(c)) > step:
                continue
            light, a, b = (lab[channel, row, column] - color[channel] for channel in range(3))
            down, across = F(row) - r, F(column) - c
            apart = light * light + a * a + b * b + stiffness * (down * down + across * across)
            if apart < nearest:
                nearest, labels[row, column] = apart, k
    return labels


def _moved(lab, labels, centers):
    """Put each centre at the mean of its pixels."""
    moved = centers.copy()
    for k in range(len(centers)):
        pixels = [(*lab[:, r, c], r, c) for r, c in np.ndindex(*labels.shape) if labels[r, c] == k]
        if pixels:
            moved[k] = [math.fsum(map(float, x)) / len(pixels) for x in zip(*pixels, strict=True)]
    return moved


def _seeds(lab, rows, columns):
    """Lay seeds out in a grid, their colours those of the pixels they lie on or between."""
    _, height, width = lab.shape
    seeds = []
    for i, j in np.ndindex(rows, columns):
        # From the image's top left corner, where pixel 0 has its middle at a half.
        r, c = (2 * i + 1) * height / (2 * rows), (2 * j + 1) * width / (2 * columns)
        on_rows = {math.floor(r)} if r % 1 else {int(r) - 1, int(r)}
        on_columns = {math.floor(c)} if c % 1 else {int(c) - 1, int(c)}
        color = [
            F(np.mean([lab[channel, y, x] for y in on_rows for x in on_columns]))
            for channel in range(3)
        ]
        seeds.append([*color, r - 0.5, c - 0.5])
    return np.array(seeds, F)


@given(clusters(), st.integers(1, 6), st.sampled_from([0.0, 0.25, 1.7, 400.0]))
def test_each_pixel_goes_to_the_first_of_the_nearest_centres_in_reach(cluster, step, stiffness):
    lab, centers, labels = cluster
    expected = _assigned(lab, centers, step, F(stiffness), labels)
    _assign(lab, centers, step, F(stiffness), labels)
    assert_array_equal(labels, expected)


def test_a_pixel_between_two_centres_keeps_the_lower_number():
    lab = np.zeros((3, 1, 5), F)
    centers = np.array([[0, 0, 0, 0, 4], [0, 0, 0, 0, 0]], F)
    labels = np.full((1, 5), -1, np.int32)
    _assign(lab, centers, 4, F(1), labels)
    assert labels.tolist() == [[1, 1, 0, 0, 0]]


def test_a_pixel_out_of_every_reach_keeps_its_label():
    labels = np.array([[7, 7, 7, 7, 7, 7]], np.int32)
    _assign(np.zeros((3, 1, 6), F), np.array([[0, 0, 0, 0, 1.5]], F), 2, F(1), labels)
    assert labels.tolist() == [[0, 0, 0, 0, 7, 7]]


@given(clusters())
def test_a_centre_moves_to_the_mean_of_its_pixels_or_stays(cluster):
    lab, centers, labels = cluster
    expected = _moved(lab, labels, centers)
    _move(lab, labels, centers)
    np.testing.assert_allclose(centers, expected, rtol=2e-7, atol=1e-6)


@given(planes(), st.integers(1, 4), st.integers(0, 3), st.integers(1, 5))
def test_rounds_follow_one_another_from_seeds_in_a_grid(lab, step, stiffness, iterations):
    _, height, width = lab.shape
    rows, columns = max(1, height // step), max(1, width // step)
    centers = _seeds(lab, rows, columns)
    labels = np.full((height, width), -1)
    for _ in range(iterations):
        before, labels = labels, _assigned(lab, centers, step, F(stiffness**2), labels)
        if np.array_equal(before, labels):
            break
        centers = _moved(lab, labels, centers)
    assert_array_equal(_cluster(lab, rows, columns, step, float(stiffness), iterations), labels)


@pytest.mark.parametrize("shape", [(37, 52), (60, 60)])
@pytest.mark.parametrize("count", [1, 12, 40])
@pytest.mark.parametrize(("compactness", "smallest"), [(20.0, 0.25), (4.0, 1.0)])
def test_the_whole_is_clusters_of_cielab_made_connected(shape, count, compactness, smallest):
    image = np.random.default_rng(count).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = cv2.blur(image, (5, 5))
    height, width = shape
    step = max(3.0, math.sqrt(height * width / count))
    rows, columns = (max(1, math.floor(side / step + 0.5)) for side in shape)
    lab = cv2.cvtColor(image.astype(F) / F(255), cv2.COLOR_RGB2LAB).transpose(2, 0, 1)
    labels = np.full(shape, -1, np.int32)
    centers = _seeds(lab, rows, columns)
    for _ in range(3):
        labels = _assigned(lab, centers, step, F((compactness / step) ** 2), labels)
        centers = _moved(lab, labels, centers)
    pixels = math.floor(smallest * height * width / (rows * columns))
    found = slic(image, count=count, compactness=compactness, iterations=3, smallest=smallest)
    assert_array_equal(found, enforce_connectivity(labels, pixels))


def test_it_ends_when_no_pixel_changes():
    image = data.chelsea()[:60, :60]
    rested = slic(image, count=30, **SETTINGS | {"iterations": 1000})
    assert not np.array_equal(slic(image, count=30, **SETTINGS | {"iterations": 1}), rested)
    start = time.perf_counter()
    assert_array_equal(slic(image, count=30, **SETTINGS | {"iterations": 10**6}), rested)
    assert time.perf_counter() - start < 5  # a million rounds take a minute


def test_four_coloured_quarters_are_never_mixed():
    image = np.zeros((80, 80, 3), np.uint8)
    image[:40, 40:], image[40:, :40], image[40:, 40:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    labels = slic(image, count=30, **SETTINGS)
    assert 15 <= labels.max() + 1 <= 60
    for label in range(labels.max() + 1):
        assert len(np.unique(image[labels == label], axis=0)) == 1


def _assert_numbered_and_connected(labels):
    assert labels.dtype == np.int32
    assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
    for label, box in enumerate(ndimage.find_objects(labels + 1)):
        assert ndimage.label(labels[box] == label)[1] == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 3), (40, 5), (60, 60), (160, 160)])
@pytest.mark.parametrize("count", [1, 180])
def test_labels_run_from_nought_without_a_gap_for_any_shape(shape, count):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    labels = slic(image, count=count, **SETTINGS)
    assert labels.shape == shape
    _assert_numbered_and_connected(labels)


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30), st.just(3))),
    st.integers(1, 50),
    st.sampled_from([1e-3, 5.0, 100.0]),
)
def test_any_image_is_divided_into_connected_superpixels(image, count, compactness):
    labels = slic(image, count=count, compactness=compactness, iterations=3, smallest=0.25)
    assert labels.shape == image.shape[:2]
    _assert_numbered_and_connected(labels)


@pytest.mark.parametrize("seed", range(3))
def test_noise_that_nobody_sees_does_not_break_up_a_plain_picture(seed):
    rng = np.random.default_rng(seed)
    image = np.full((100, 100, 3), 120, np.uint8)
    image += rng.integers(0, 3, image.shape, dtype=np.uint8)
    count = slic(image, count=25, **SETTINGS).max() + 1
    assert 20 <= count <= 30


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_a_plain_picture_is_a_grid_at_any_brightness(level):
    labels = slic(np.full((100, 100, 3), level, np.uint8), count=25, **SETTINGS)
    grid = np.arange(100) // 20
    assert_array_equal(labels, 5 * grid[:, np.newaxis] + grid)


def _shared(first, second):
    """Measure the share of pixels that lie in a superpixel's largest common part."""
    common = np.zeros((first.max() + 1, second.max() + 1), int)
    np.add.at(common, (first, second), 1)
    return min(common.max(axis=0).sum(), common.max(axis=1).sum()) / first.size


@pytest.mark.parametrize("mirror", [np.fliplr, np.flipud, np.rot90])
@pytest.mark.parametrize("photograph", ["astronaut", "chelsea", "coffee", "rocket"])
def test_a_mirrored_photograph_has_mirrored_superpixels(photograph, mirror):
    image = squash(getattr(data, photograph)(), 160)
    labels = slic(image, count=250, **SETTINGS)
    again = slic(np.ascontiguousarray(mirror(image)), count=250, **SETTINGS)
    # What differs lies as near to two centres in plain parts, or borders two parts as long.
    assert _shared(mirror(labels), again) > 0.98


def test_superpixels_keep_to_the_edges_of_what_a_photograph_shows():
    image = squash(data.coffee(), 160)
    lab = cv2.cvtColor(image.astype(F) / F(255), cv2.COLOR_RGB2LAB).reshape(-1, 3)

    def spread(labels):
        means = [ndimage.mean(lab[:, i], labels.ravel(), np.unique(labels)) for i in range(3)]
        return np.square(lab - np.stack(means, axis=1)[labels.ravel()]).sum(axis=1).mean()

    grid = np.arange(160) // 10
    squares = 16 * grid[:, np.newaxis] + grid
    assert spread(slic(image, count=250, **SETTINGS)) < 0.6 * spread(squares)


maps = arrays(
    np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-1, 3)
)


def _sides(pixel):
    row, column = pixel
    return [(row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column)]


def _flooded(labels):
    """List the connected parts as sets of pixels, in the order of their first pixels."""
    left = {pixel: label for pixel, label in np.ndenumerate(labels)}
    parts = []
    while left:
        first = min(left)
        label, part, waiting = left.pop(first), {first}, [first]
        while waiting:
            for pixel in _sides(waiting.pop()):
                if left.get(pixel) == label:
                    del left[pixel]
                    part.add(pixel)
                    waiting.append(pixel)
        parts.append(part)
    return parts


def _joined_once(labels, smallest):
    parts = _flooded(labels)
    own = [set(part) for part in parts]  # what each was before any joined it
    number = {pixel: i for i, part in enumerate(parts) for pixel in part}
    for mine in own:
        here = number[min(mine)]
        if len(parts[here]) >= smallest:
            continue
        border = {}
        for pixel in mine:
            for side in _sides(pixel):
                other = number.get(side, here)
                if other != here:
                    border[other] = border.get(other, 0) + 1
        if border:
            best = min(other for other, length in border.items() if length == max(border.values()))
            parts[best] |= parts[here]
            number |= dict.fromkeys(parts[here], best)
            parts[here] = set()
    found = sorted((part for part in parts if part), key=min)
    expected = np.empty(labels.shape, int)
    for label, part in enumerate(found):
        for pixel in part:
            expected[pixel] = label
    return expected


def _literally(labels, smallest):
    found = _joined_once(labels, smallest)
    while found.max() > 0 and np.bincount(found.ravel()).min() < smallest:
        found = _joined_once(found, smallest)
    return found


@given(maps, st.integers(0, 12))
def test_equals_the_rule_read_part_by_part(labels, smallest):
    assert_array_equal(enforce_connectivity(labels, smallest), _literally(labels, smallest))


@given(maps, st.integers(0, 12))
def test_each_label_is_one_part_that_is_large_enough(labels, smallest):
    found = enforce_connectivity(labels, smallest)
    assert found.dtype == np.int32
    assert_array_equal(np.unique(found), np.arange(found.max() + 1))
    for label in range(found.max() + 1):
        assert ndimage.label(found == label)[1] == 1
    assert np.bincount(found.ravel()).min() >= min(smallest, found.size)


@given(maps, st.integers(0, 12))
def test_labels_come_in_the_order_of_their_first_pixels(labels, smallest):
    found = enforce_connectivity(labels, smallest).ravel()
    firsts = [np.flatnonzero(found == label)[0] for label in range(found.max() + 1)]
    assert firsts == sorted(firsts)


@given(maps, st.integers(0, 12))
def test_what_is_fine_already_stays_as_it_is(labels, smallest):
    once = enforce_connectivity(labels, smallest)
    assert_array_equal(enforce_connectivity(once, smallest), once)
    # By any other numbers too.
    assert_array_equal(enforce_connectivity(3 * (once.max() - once) - 1, smallest), once)


def test_the_map_that_is_given_is_not_written_to():
    labels = np.array([[0, 1, 0], [0, 0, 0]], np.int32)
    before = labels.copy()
    assert_array_equal(enforce_connectivity(labels, 2), np.zeros((2, 3)))
    assert_array_equal(labels, before)


def test_a_small_part_joins_where_most_of_its_border_is():
    labels = np.array([[0, 0, 0, 0], [0, 2, 1, 1], [1, 1, 1, 1]], np.int32)
    expected = [[0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]]  # 2 sides with each: the first
    assert_array_equal(enforce_connectivity(labels, 2), expected)
    labels = np.array([[0, 0, 0], [1, 2, 1], [1, 1, 1]], np.int32)  # 1 side with 0, 3 with 1
    assert_array_equal(enforce_connectivity(labels, 2), [[0, 0, 0], [1, 1, 1], [1, 1, 1]])


def test_a_small_ring_and_what_it_encloses_join_their_surroundings_together():
    labels = np.zeros((7, 7), np.int32)
    labels[2:5, 2:5], labels[3, 3] = 1, 2
    labels[:2, 3] = labels[5:, 3] = 3  # splits the outside: the ring's longest border is inside
    labels[3, :2] = labels[3, 5:] = 3
    found = enforce_connectivity(labels, 10)
    assert np.bincount(found.ravel()).min() >= 10


@pytest.mark.parametrize("shape", [(200, 200), (1, 40_000), (40_000, 1)])
@pytest.mark.parametrize("smallest", [1, 100, 40_000])
def test_thousands_of_single_pixels_take_no_time(shape, smallest):
    enforce_connectivity(np.zeros((1, 1), np.int32), 1)  # compiles
    distinct = np.arange(40_000, dtype=np.int32).reshape(shape)
    checks = (np.indices(shape).sum(axis=0) % 2).astype(np.int32)
    start = time.perf_counter()
    counts = {
        int(enforce_connectivity(labels, smallest).max()) + 1 for labels in (distinct, checks)
    }
    assert time.perf_counter() - start < 1
    assert counts == ({40_000} if smallest == 1 else {1})
