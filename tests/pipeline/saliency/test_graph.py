"""The graph of superpixels against the release read literally, in loops, and run."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.graphs import color_graphs, load_golden, segmented_pictures

from dilo.pipeline.saliency.graph import (
    adjacency_counts,
    color_scales,
    gaussian_weight,
    geodesic_distance,
    pairwise_distance,
    two_step_neighbors,
)
from dilo.pipeline.saliency.parameters import RbdParameters

PARAMETERS = RbdParameters()


@given(segmented_pictures())
def test_adjacency_counts_the_two_ways_of_touching(picture):
    _, labels = picture
    height, width = labels.shape
    before = set()
    for row, column in itertools.product(range(height), range(width)):
        if row + 1 < height:
            before.add((labels[row, column], labels[row + 1, column]))
        if column + 1 < width:
            before.add((labels[row, column], labels[row, column + 1]))
    count = labels.max() + 1
    expected = [
        [1 if i == j else ((i, j) in before) + ((j, i) in before) for j in range(count)]
        for i in range(count)
    ]
    assert_array_equal(adjacency_counts(labels), expected)


@given(color_graphs())
def test_two_steps_reach_the_neighbours_and_theirs(graph):
    _, adjacent, _ = graph
    near = two_step_neighbors(adjacent)
    for i, j in itertools.product(range(len(adjacent)), repeat=2):
        through = any(adjacent[i, k] and adjacent[k, j] for k in range(len(adjacent)))
        assert near[i, j] == (i != j and (adjacent[i, j] or through))


@given(color_graphs(), st.sampled_from([0.01, 0.3]))
def test_scales_equal_the_release_read_one_superpixel_at_a_time(graph, top_pairs):
    difference, adjacent, _ = graph
    near = two_step_neighbors(adjacent)
    count = len(adjacent)

    def nearest(among):
        smallest = [
            min((difference[i, j] for j in range(count) if among[i, j]), default=0.0)
            for i in range(count)
        ]
        return sum(smallest) / count

    pairs = [difference[i, j] for i in range(count) for j in range(i) if adjacent[i, j]]
    largest = sorted(pairs)[::-1][: math.floor(top_pairs * len(pairs) + 0.5)]
    one = nearest(adjacent)
    low, middle, high = [10.0, 3 * one], [3 * one, 20.0], [5.0]
    if largest:
        low.append(sum(largest) / len(largest) / 10)
        middle.append(sum(largest) / len(largest) * 0.2)
    scales = color_scales(difference, adjacent, near, RbdParameters(top_pairs=top_pairs))
    assert_allclose(scales.clip, nearest(near), rtol=1e-12)
    assert_allclose(scales.geodesic_sigma, max(*high, min(low)), rtol=1e-12)
    assert_allclose(scales.neighbor_sigma, min(middle), rtol=1e-12)


@given(color_graphs(), st.sampled_from([0.0, 5.0, 20.0, 200.0]))
def test_geodesic_distance_is_that_of_every_path_tried(graph, clip):
    difference, adjacent, on_boundary = graph
    count = len(adjacent)
    expected = np.full((count, count), np.inf)
    for i, j in itertools.product(range(count), repeat=2):
        if i == j:
            expected[i, j] = 0
        elif adjacent[i, j] or (on_boundary[i] and on_boundary[j]):
            expected[i, j] = max(0, difference[i, j] - clip)
    for k, i, j in itertools.product(range(count), repeat=3):
        expected[i, j] = min(expected[i, j], expected[i, k] + expected[k, j])
    actual = geodesic_distance(difference, adjacent, on_boundary, clip=clip)
    assert_allclose(actual, expected, rtol=1e-12)


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([0.0, 1e-200, 0.4, 10.0]))
def test_gaussian_weight_ends_at_three_sigma_and_at_sigma_nought(distances, sigma):
    actual = gaussian_weight(np.array(distances), sigma)
    for weight, distance in zip(actual, distances, strict=True):
        if distance > 3 * sigma:
            assert weight == 0
        elif distance == 0:
            assert weight == 1
        elif sigma > 1e-3:
            assert math.isclose(weight, math.exp(-(distance**2) / (2 * sigma**2)))


def test_rounding_is_no_distance():
    points = np.array([[50.0, 1.0, 2.0], [50.0 + 1e-13, 1.0, 2.0], [50.0, 4.0, 6.0]])
    assert_array_equal(pairwise_distance(points), [[0, 0, 5], [0, 0, 5], [5, 5, 0]])


def _released_geodesic_saliency(difference, separation, geodesic, on_boundary):
    """Reduce geodesic distances to GS, of which the golden data holds the result."""
    boundary = np.flatnonzero(on_boundary)
    count = len(difference)
    nearest = math.floor(count / 200 * 5 + 0.5)
    remote = {}
    for i in boundary:
        others = sorted(difference[i, j] / (1 + 3 * separation[i, j]) for j in boundary if j != i)
        remote[i] = sum(others[:nearest]) / nearest
    low, high = min(remote.values()), max(remote.values())
    kept = [i for i in boundary if high - low <= 1 or (remote[i] - low) / (high - low) <= 0.5]
    distance = geodesic[kept].min(axis=0)
    return np.minimum(distance / np.sort(distance)[-math.floor(0.02 * count + 0.5)], 1)


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_the_graph_is_that_of_the_release(number):
    golden = load_golden(number)
    superpixels, values = golden.superpixels, golden.values
    counts = adjacency_counts(superpixels.labels)
    assert_array_equal(counts, values["adjcMatrix"])
    adjacent = (counts > 0) & ~np.eye(len(counts), dtype=bool)
    difference = pairwise_distance(superpixels.lab)
    scales = color_scales(difference, adjacent, two_step_neighbors(adjacent), PARAMETERS)
    assert_allclose(scales.clip, values["clipVal"], rtol=1e-9)
    assert_allclose(scales.geodesic_sigma, values["geoSigma"], rtol=1e-9)
    assert_allclose(scales.neighbor_sigma, values["neiSigma"], rtol=1e-9)
    boundary = superpixels.on_boundary
    geodesic = geodesic_distance(difference, adjacent, boundary, clip=scales.clip)
    separation = pairwise_distance(superpixels.position)
    reduced = _released_geodesic_saliency(difference, separation, geodesic, boundary)
    assert_allclose(reduced, values["geoDist"], atol=1e-9)
