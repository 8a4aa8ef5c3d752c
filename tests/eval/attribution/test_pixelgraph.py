"""Geodesic forests against a plain Dijkstra, and distances that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from dilo.eval.attribution.pixelgraph import geodesic_forest


@st.composite
def starred_images(draw):
    """Draw a small image, some of its colours equal, and where its star centres are."""
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    colors = rng.integers(0, draw(st.sampled_from([1, 2, 256])), (height, width, 3))
    centers = rng.random((height, width)) < 0.2
    centers[rng.integers(height), rng.integers(width)] = True
    return colors.astype(np.float64), centers


def _steps(colors):
    """List the steps between the eight neighbours, one pixel at a time."""
    height, width = colors.shape[:2]
    for y in range(height):
        for x in range(width):
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    there = y + down, x + right
                    inside = 0 <= there[0] < height and 0 <= there[1] < width
                    if (down or right) and inside:
                        squared = sum(
                            (a - b) ** 2 for a, b in zip(colors[y, x], colors[there], strict=True)
                        )
                        yield (y, x), there, down**2 + right**2, squared


def _literally(colors, centers, weight):
    """Let paths grow by a step until none becomes shorter."""
    steps = list(_steps(colors))
    mean = sum(squared for *_, squared in steps) / max(1, len(steps))
    costs = [
        (here, there, np.sqrt((1 - weight) * length + (weight * squared / mean if mean else 0)))
        for here, there, length, squared in steps
    ]
    distance = np.where(centers, 0.0, np.inf)
    while True:
        before = distance.copy()
        for here, there, cost in costs:
            distance[there] = min(distance[there], distance[here] + cost)
        if (before == distance).all():
            return distance, {(here, there): cost for here, there, cost in costs}


@given(starred_images(), st.sampled_from([0.0, 0.3, 1.0]))
def test_every_path_is_the_shortest_and_leads_to_a_centre(picture, weight):
    colors, centers = picture
    distance, parent = geodesic_forest(colors, centers, weight)
    expected, costs = _literally(colors, centers, weight)
    assert_allclose(distance, expected.ravel(), rtol=1e-12, atol=1e-12)
    for pixel in range(centers.size):
        here, walked, steps = pixel, 0.0, 0
        while parent[here] != here:
            place = divmod(here, centers.shape[1]), divmod(int(parent[here]), centers.shape[1])
            walked, here, steps = walked + costs[place], int(parent[here]), steps + 1
            assert steps < centers.size
        assert centers.ravel()[here]
        assert walked == pytest.approx(distance[pixel], rel=1e-12, abs=1e-12)
    assert_array_equal(np.flatnonzero(parent == np.arange(centers.size)), np.flatnonzero(centers))


def test_without_colour_paths_are_as_long_as_on_an_empty_grid():
    colors = np.random.default_rng(0).uniform(0, 255, (9, 12, 3))
    centers = np.zeros((9, 12), bool)
    centers[3, 5] = True
    distance, _ = geodesic_forest(colors, centers, 0.0)
    down, right = np.abs(np.indices((9, 12)) - np.array([3, 5])[:, None, None])
    diagonal = np.minimum(down, right)
    expected = np.sqrt(2) * diagonal + np.maximum(down, right) - diagonal
    assert_allclose(distance.reshape(9, 12), expected)


def test_with_colour_a_path_goes_round_a_wall():
    colors = np.zeros((7, 7, 3))
    colors[:6, 3] = 255.0  # but for a gap at the foot
    centers = np.zeros((7, 7), bool)
    centers[1, 1] = True
    for weight, crossings in ((0.0, [1]), (0.9, [6])):
        _, parent = geodesic_forest(colors, centers, weight)
        here, rows = 1 * 7 + 5, []
        while parent[here] != here:
            here = int(parent[here])
            rows += [here // 7] if here % 7 == 3 else []
        assert rows[:1] == crossings


def test_contrast_does_not_matter():
    colors = np.random.default_rng(1).uniform(0, 60, (8, 8, 3))
    centers = np.zeros((8, 8), bool)
    centers[[1, 6], [2, 5]] = True
    distance, parent = geodesic_forest(colors, centers, 0.3)
    brighter, same = geodesic_forest(4 * colors, centers, 0.3)
    assert_allclose(brighter, distance)
    assert_array_equal(same, parent)
