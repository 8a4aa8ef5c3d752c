"""The scales of colour against the release read literally, in loops, and run."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from support.graphs import color_graphs, load_golden

from dilo.pipeline.saliency.classical.graph import graph_of
from dilo.pipeline.saliency.classical.rbd import color_scales
from dilo.pipeline.saliency.parameters import RbdParameters


@given(color_graphs(), st.sampled_from([0.01, 0.3]))
def test_scales_equal_the_release_read_one_superpixel_at_a_time(graph, top_pairs):
    difference, adjacent, _ = graph
    count = len(adjacent)
    pairs = [difference[i, j] for i in range(count) for j in range(i) if adjacent[i, j]]
    largest = sorted(pairs)[::-1][: math.floor(top_pairs * len(pairs) + 0.5)]
    nearest = [
        min((difference[i, j] for j in range(count) if adjacent[i, j]), default=0.0)
        for i in range(count)
    ]
    one = sum(nearest) / count
    low, middle, high = [10.0, 3 * one], [3 * one, 20.0], [5.0]
    if largest:
        low.append(sum(largest) / len(largest) / 10)
        middle.append(sum(largest) / len(largest) * 0.2)
    scales = color_scales(difference, adjacent, RbdParameters(top_pairs=top_pairs))
    assert_allclose(scales.geodesic, max(*high, min(low)), rtol=1e-12)
    assert_allclose(scales.neighbor, min(middle), rtol=1e-12)


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_the_scales_are_those_of_the_release(number):
    golden = load_golden(number)
    graph = graph_of(golden.superpixels, band=8)
    scales = color_scales(graph.difference, graph.adjacent, RbdParameters())
    assert_allclose(scales.geodesic, golden.values["geoSigma"], rtol=1e-9)
    assert_allclose(scales.neighbor, golden.values["neiSigma"], rtol=1e-9)
