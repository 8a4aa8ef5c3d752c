"""The graph of superpixels against the release read literally, in loops, and run."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.graphs import color_graphs, load_golden, segmented_pictures

from dilo.pipeline.saliency.classical.color import rgb_to_lab
from dilo.pipeline.saliency.classical.graph import (
    at_pairs,
    color_graph,
    gaussian_weight,
    graph_of,
    link_weights,
    mean_smallest,
    node_sums,
    pairs_of,
    pairwise_distance,
    symmetric,
)
from dilo.pipeline.saliency.classical.regions import two_hop_neighbors
from dilo.pipeline.saliency.classical.superpixels import describe, segment
from dilo.pipeline.saliency.parameters import ColorGraphParameters


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
    count = int(labels.max()) + 1
    expected = [
        [1 if i == j else ((i, j) in before) + ((j, i) in before) for j in range(count)]
        for i in range(count)
    ]
    assert_array_equal(graph_of(describe(*picture), band=1).counts, expected)


@given(color_graphs())
def test_the_mean_smallest_difference_is_found_one_superpixel_at_a_time(graph):
    difference, adjacent, _ = graph
    for among in (adjacent, two_hop_neighbors(adjacent)):
        smallest = [
            min(row[chosen], default=0.0) for row, chosen in zip(difference, among, strict=True)
        ]
        assert_allclose(mean_smallest(difference, among), sum(smallest) / len(smallest), rtol=1e-12)


@given(color_graphs())
def test_pairs_are_listed_once_with_their_values_and_go_back_where_they_were(graph):
    difference, adjacent, _ = graph
    count = len(adjacent)
    pairs = pairs_of(adjacent)
    assert pairs.tolist() == [[i, j] for i in range(count) for j in range(i) if adjacent[i, j]]
    values = at_pairs(difference, pairs)
    assert_array_equal(symmetric(pairs, values, count), np.where(adjacent, difference, 0))
    assert_allclose(
        node_sums(pairs, values, count), (difference * adjacent).sum(axis=0), rtol=1e-12
    )
    assert_array_equal(pairs_of(adjacent | np.eye(count, dtype=bool)), pairs)


@given(color_graphs(), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1.0, 10.0]))
def test_links_weigh_the_less_the_less_alike_their_ends(graph, seed, decay):
    color = np.random.default_rng(seed).random((len(graph[1]), 3))
    pairs = pairs_of(graph[1])
    apart = [math.dist(color[i], color[j]) for i, j in pairs]
    found = link_weights(color, pairs, decay)
    assert (found is None) == (len(apart) < 2)
    if found is not None:
        low, high = min(apart), max(apart)
        expected = [math.exp(-decay * (d - low) / (high - low)) for d in apart]
        assert_allclose(found, expected, rtol=1e-12)


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


@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_distance_is_euclid_s_between_all_pairs(count, dimensions, seed):
    points = np.random.default_rng(seed).normal(size=(count, dimensions))
    expected = [[math.dist(p, q) for q in points] for p in points]
    found = pairwise_distance(points)
    assert_allclose(found, expected, rtol=1e-12)
    assert_array_equal(found, found.T)


@given(segmented_pictures(), st.integers(1, 4))
def test_the_graph_holds_what_its_steps_give(picture, band):
    superpixels = describe(*picture)
    graph = graph_of(superpixels, band=band)
    count = len(superpixels)
    lab = rgb_to_lab(superpixels.rgb)
    counts = graph.counts
    boundary = superpixels.on_boundary(band)
    assert_array_equal(graph.on_boundary, boundary)
    assert_array_equal(graph.position, superpixels.position)
    for i, j in itertools.product(range(count), repeat=2):
        touch = i != j and counts[i, j] > 0
        through = any(counts[i, k] and counts[k, j] and k not in (i, j) for k in range(count))
        assert graph.near[i, j] == (i != j and (touch or through))
        assert graph.linked[i, j] == (touch or (i != j and boundary[i] and boundary[j]))
        apart = math.dist(lab[i], lab[j])
        assert math.isclose(graph.difference[i, j], apart, rel_tol=1e-12, abs_tol=1e-9)
    adjacent = (counts > 0) & ~np.eye(count, dtype=bool)
    assert_array_equal(graph.adjacent, adjacent)
    assert graph.clip == mean_smallest(graph.difference, graph.near)


@pytest.mark.parametrize(
    ("side", "share", "band"), [(160, 0.0229, 4), (224, 0.0229, 5), (20, 0.0229, 1), (10, 0.25, 3)]
)
def test_the_boundary_is_a_share_of_the_side(side, share, band):
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    parameters = ColorGraphParameters(boundary_band=share)
    segmentation = segment(image, parameters)
    found = color_graph(segmentation, parameters)
    assert_array_equal(found.on_boundary, segmentation.superpixels.on_boundary(band))


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_the_graph_is_that_of_the_release(number):
    golden = load_golden(number)
    values = golden.values
    graph = graph_of(golden.superpixels, band=8)
    assert_array_equal(graph.counts, values["adjcMatrix"])
    assert_array_equal(np.flatnonzero(graph.on_boundary) + 1, np.sort(values["bdIds"]))
    assert_allclose(graph.clip, values["clipVal"], rtol=1e-9)
