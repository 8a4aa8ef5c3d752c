"""GS against the release read literally, in loops, and run."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from support.graphs import (
    DULL,
    ECSSD,
    PAIRED,
    assert_same_saliency,
    likeness_to_released_maps,
    load_golden,
    released_maps,
    renumbered,
    segmented_pictures,
    squares,
)

from dilo.pipeline.saliency.classical.graph import graph_of
from dilo.pipeline.saliency.classical.gs import background_superpixels, gs, gs_values
from dilo.pipeline.saliency.classical.superpixels import Superpixels, describe
from dilo.pipeline.saliency.method import Method
from dilo.pipeline.saliency.parameters import GsParameters

PARAMETERS = GsParameters()


def _values(superpixels: Superpixels, band: int = 1) -> np.ndarray:
    return gs_values(graph_of(superpixels, band=band), PARAMETERS)


def _background_literally(graph, parameters):
    boundary = [i for i, b in enumerate(graph.on_boundary) if b]
    if len(boundary) == 1:
        return set(boundary)
    count = len(graph.position)
    wanted = math.floor(parameters.boundary_nearest * count / 200 + 0.5)
    wanted = min(max(1, wanted), len(boundary) - 1)
    remote = {}
    for i in boundary:
        unlike = sorted(
            graph.difference[i, j]
            / (1 + parameters.boundary_distance * math.dist(graph.position[i], graph.position[j]))
            for j in boundary
            if j != i
        )
        remote[i] = sum(unlike[:wanted]) / wanted
    low, high = min(remote.values()), max(remote.values())
    if high - low <= parameters.boundary_spread:
        return set(boundary)
    return {i for i in boundary if (remote[i] - low) / (high - low) <= parameters.boundary_remote}


@given(
    segmented_pictures(),
    st.integers(1, 3),
    st.sampled_from([5.0, 40.0, 100.0]),
    st.sampled_from([0.1, 1.0, 20.0]),
    st.sampled_from([0.2, 0.4999, 0.9]),
)
def test_background_is_the_boundary_that_is_like_the_rest_of_it(
    picture, band, nearest, spread, remote
):
    parameters = GsParameters(
        boundary_nearest=nearest, boundary_spread=spread, boundary_remote=remote
    )
    graph = graph_of(describe(*picture), band=band)
    found = background_superpixels(graph, parameters)
    assert set(np.flatnonzero(found)) == _background_literally(graph, parameters)


def test_what_is_like_nothing_else_on_the_boundary_is_no_background():
    colors = np.full((6, 7, 3), (40, 60, 160))
    colors[3, 0] = (250, 220, 30)
    graph = graph_of(describe(*squares(colors)), band=1)
    assert graph.on_boundary[21]
    expected = graph.on_boundary.copy()
    expected[21] = False
    assert_array_equal(background_superpixels(graph, PARAMETERS), expected)
    colors[3, 0] = (41, 60, 160)  # hardly unlike the rest
    graph = graph_of(describe(*squares(colors)), band=1)
    assert_array_equal(background_superpixels(graph, PARAMETERS), graph.on_boundary)


def test_what_is_halfway_unlike_is_background_still():
    # The nearest of the other three is 2 away, 2, 4, and 6.
    difference = np.array(
        [[0.0, 2.0, 4.0, 9.0], [2.0, 0.0, 9.0, 9.0], [4.0, 9.0, 0.0, 6.0], [9.0, 9.0, 6.0, 0.0]]
    )
    graph = dataclasses.replace(
        graph_of(describe(*squares(np.zeros((2, 2, 3)))), band=1),
        difference=difference,
        position=np.ones((4, 2)),
    )
    assert background_superpixels(graph, PARAMETERS).tolist() == [True, True, True, False]


def _literally(graph):
    """Try every path from the background, and divide by one of the largest costs."""
    count, boundary = len(graph.position), graph.on_boundary
    paths = np.full((count, count), np.inf)
    for i, j in itertools.product(range(count), repeat=2):
        if i == j:
            paths[i, j] = 0.0
        elif graph.counts[i, j] or (boundary[i] and boundary[j]):
            paths[i, j] = max(0.0, graph.difference[i, j] - graph.clip)
    for k, i, j in itertools.product(range(count), repeat=3):
        paths[i, j] = min(paths[i, j], paths[i, k] + paths[k, j])
    cost = [
        min(paths[i, j] for i in _background_literally(graph, PARAMETERS)) for j in range(count)
    ]
    full = sorted(cost, reverse=True)[max(1, math.floor(0.02 * count + 0.5)) - 1]
    return [min(c / full, 1.0) if full > 0 else 0.0 for c in cost]


@given(segmented_pictures(), st.integers(1, 3))
def test_the_whole_equals_the_release_read_one_superpixel_at_a_time(picture, band):
    graph = graph_of(describe(*picture), band=band)
    assert_allclose(gs_values(graph, PARAMETERS), _literally(graph), rtol=1e-9, atol=1e-9)


def test_a_share_of_the_superpixels_is_fully_salient():
    colors = np.zeros((10, 10, 3), int)
    colors[3:7, 3:7, 0] = 100 + 9 * np.arange(16).reshape(4, 4)
    graph = graph_of(describe(*squares(colors)), band=1)
    for share, expected in ((0.0, 1), (0.02, 2), (0.05, 5)):
        parameters = GsParameters(top_superpixels=share)
        assert (gs_values(graph, parameters) > 1 - 1e-9).sum() == expected


@given(segmented_pictures(), st.integers(0, 2**32 - 1))
def test_the_numbering_of_superpixels_does_not_matter(picture, seed):
    superpixels, again, order = renumbered(picture, seed)
    saliency = _values(superpixels)
    assert saliency.min() >= 0
    assert saliency.max() <= 1
    assert_same_saliency(_values(again)[order], saliency)


@pytest.mark.parametrize("name", DULL)
def test_nothing_is_salient_where_all_is_one_colour(name):
    assert_array_equal(_values(describe(*DULL[name])), 0)


@pytest.mark.parametrize("name", PAIRED)
def test_few_superpixels_or_colours_have_a_saliency(name):
    saliency = _values(describe(*PAIRED[name]))
    assert np.isfinite(saliency).all()
    assert saliency.min() == 0


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_saliency_is_that_of_the_release(number):
    golden = load_golden(number)
    assert_allclose(_values(golden.superpixels, band=8), golden.values["geoDist"], atol=1e-9)


def test_a_square_on_a_plain_ground_is_all_that_is_salient():
    image = np.full((224, 224, 3), (40, 60, 160), np.uint8)
    image[64:160, 80:144] = (220, 180, 40)
    saliency = gs(image, PARAMETERS)
    assert saliency[70:154, 86:138].min() > 0.9
    assert saliency[:40].max() < 0.1
    assert saliency[:, :50].max() < 0.1


@pytest.mark.skipif(not ECSSD.is_dir(), reason="needs ECSSD's images beside the repository")
def test_maps_of_photographs_are_the_release_s_in_every_pixel():
    for values, image, released in released_maps("mid", "gs"):
        top, bottom, left, right = values["frameRecord"].astype(int)[2:]
        inside = slice(top - 1, bottom), slice(left - 1, right)
        labels = values["idx16"].astype(np.int32) - 1
        found = _values(describe(image[inside], labels), band=8)
        assert_allclose(found, values["geoDist"], atol=1e-9)
        painted = np.zeros(image.shape[:2])
        painted[inside] = found[labels]
        assert_array_equal(np.floor(255 * painted + 0.5), released)


@pytest.mark.skipif(not ECSSD.is_dir(), reason="needs ECSSD's images beside the repository")
def test_masks_of_photographs_are_nearly_those_of_the_release():
    likeness = likeness_to_released_maps(Method(PARAMETERS, gs), "gs")
    assert np.median(likeness) > 0.85
    assert np.mean(likeness) > 0.8
