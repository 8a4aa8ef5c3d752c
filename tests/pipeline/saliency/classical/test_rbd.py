"""RBD's steps against the paper read literally, against the release, and in their limits."""

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
    color_graphs,
    likeness_to_released_maps,
    load_golden,
    released_maps,
    renumbered,
    segmented_pictures,
)

from dilo.pipeline.saliency.classical.color import rgb_to_lab
from dilo.pipeline.saliency.classical.graph import at_pairs, graph_of, mean_smallest, pairs_of
from dilo.pipeline.saliency.classical.paths import shortest_paths
from dilo.pipeline.saliency.classical.rbd import (
    background_probability,
    background_weighted_contrast,
    boundary_connectivity,
    color_sigmas,
    optimize,
    rbd,
    rbd_values,
)
from dilo.pipeline.saliency.classical.superpixels import Superpixels, describe
from dilo.pipeline.saliency.method import Method
from dilo.pipeline.saliency.parameters import RbdParameters
from dilo.pipeline.saliency.values import otsu_threshold, stretch

PARAMETERS = RbdParameters()


def _values(superpixels: Superpixels, band: int = 1) -> np.ndarray:
    return rbd_values(graph_of(superpixels, band=band), PARAMETERS)


def _optimize(foreground, background, smoothness, on_boundary):
    pairs = pairs_of(smoothness > 0)
    return optimize(foreground, background, pairs, at_pairs(smoothness, pairs), on_boundary)


def _sigmas(difference, adjacent, parameters):
    nearest = mean_smallest(difference, adjacent)
    return color_sigmas(nearest, at_pairs(difference, pairs_of(adjacent)), parameters)


def _weight(distance, sigma):
    return math.exp(-(distance**2) / (2 * sigma**2)) if distance <= 3 * sigma else 0.0


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
    scales = _sigmas(difference, adjacent, RbdParameters(top_pairs=top_pairs))
    assert_allclose(scales.geodesic, max(*high, min(low)), rtol=1e-12)
    assert_allclose(scales.neighbor, min(middle), rtol=1e-12)


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_the_scales_are_those_of_the_release(number):
    golden = load_golden(number)
    graph = graph_of(golden.superpixels, band=8)
    scales = _sigmas(graph.difference, graph.adjacent, RbdParameters())
    assert_allclose(scales.geodesic, golden.values["geoSigma"], rtol=1e-9)
    assert_allclose(scales.neighbor, golden.values["neiSigma"], rtol=1e-9)


@given(color_graphs(), st.floats(1.0, 50.0))
def test_boundary_connectivity_is_length_over_root_area(graph, sigma):
    geodesic, _, on_boundary = graph
    expected = []
    for row in geodesic:
        length = sum(_weight(d, sigma) for d, b in zip(row, on_boundary, strict=True) if b)
        expected.append(length / math.sqrt(sum(_weight(d, sigma) for d in row)))
    alone = np.arange(len(geodesic))
    actual = boundary_connectivity(alone, geodesic, on_boundary, sigma=sigma)
    assert_allclose(actual, expected, rtol=1e-12)


@given(color_graphs(), st.integers(0, 2**32 - 1))
def test_members_of_a_group_count_each_for_itself(graph, seed):
    between, _, _ = graph
    group = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(between)), 2))
    on_boundary = np.random.default_rng(seed).random(len(group)) < 0.5
    actual = boundary_connectivity(group, between, on_boundary, sigma=5.0)
    geodesic = between[np.ix_(group, group)]
    alone = np.arange(len(group))
    expected = boundary_connectivity(alone, geodesic, on_boundary, sigma=5.0)
    assert_allclose(actual, expected, rtol=1e-12)


def test_background_probability_is_nought_inside_and_one_far_out():
    actual = background_probability(np.array([0.0, 1.0, 2.0, 50.0]), sigma=1.0)
    assert_allclose(actual, [0, 1 - math.exp(-0.5), 1 - math.exp(-2), 1], rtol=1e-14)


@given(color_graphs(), st.integers(0, 2**32 - 1))
def test_contrast_is_that_of_each_superpixel_to_the_background(graph, seed):
    difference, _, _ = graph
    count = len(difference)
    rng = np.random.default_rng(seed)
    position, probability = rng.random((count, 2)), rng.random(count)
    raw = [
        sum(
            difference[i, j] * _weight(math.dist(position[i], position[j]), 0.4) * probability[j]
            for j in range(count)
        )
        for i in range(count)
    ]
    spread = max(raw) - min(raw)
    expected = np.array([(c - min(raw)) / (spread + 2.0**-52) for c in raw])
    expected[expected < otsu_threshold(expected)] = 0
    actual = background_weighted_contrast(difference, position, probability, sigma=0.4)
    assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def test_contrast_at_the_threshold_stays():
    # Contrasts of 0 to 255 to the one superpixel that is background: Otsu divides at 127.
    difference = np.zeros((256, 256))
    difference[0] = difference[:, 0] = np.arange(256)
    probability = np.zeros(256)
    probability[0] = 1.0
    found = background_weighted_contrast(difference, np.ones((256, 2)), probability, sigma=0.4)
    assert_array_equal(found, np.where(np.arange(256) < 127, 0, np.arange(256) / 255))


@given(color_graphs(), st.integers(0, 2**32 - 1))
def test_the_optimum_is_stationary_and_lies_in_the_unit_interval(graph, seed):
    smoothness, _, on_boundary = graph
    count = len(smoothness)
    rng = np.random.default_rng(seed)
    foreground, background = rng.random(count), 5 * rng.random(count) + 1e-3
    found = _optimize(foreground, background, smoothness, on_boundary)
    for i in range(count):
        slope = background[i] * found[i] + foreground[i] * (found[i] - 1)
        slope += sum(smoothness[i, j] * (found[i] - found[j]) for j in range(count))
        assert abs(slope) < 1e-9
    assert found.min() >= -1e-12
    assert found.max() <= 1 + 1e-12


def test_two_superpixels_have_the_solution_found_by_hand():
    # (b + w) s - w t = 0 and (f + w) t - w s = f, with f = b = w = 1: s = 1/3, t = 2/3
    pull = np.array([[0.0, 1.0], [1.0, 0.0]])
    found = _optimize(np.array([0.0, 1.0]), np.array([1.0, 0.0]), pull, np.array([True, False]))
    assert_allclose(found, [1 / 3, 2 / 3], rtol=1e-14)


def test_an_optimum_that_is_not_unique_is_refused():
    with pytest.raises(ValueError, match="background must be positive somewhere"):
        _optimize(np.zeros(2), np.zeros(2), np.ones((2, 2)), np.zeros(2, bool))


def _literally(graph):
    """Read sections 3.1 to 3.4 of the paper, and the release, one superpixel at a time."""
    count, boundary = len(graph.position), graph.on_boundary
    scales = _sigmas(graph.difference, graph.adjacent, PARAMETERS)
    pairs = list(itertools.product(range(count), repeat=2))
    geodesic = np.full((count, count), np.inf)
    for i, j in pairs:
        if i == j:
            geodesic[i, j] = 0.0
        elif graph.counts[i, j] or (boundary[i] and boundary[j]):
            geodesic[i, j] = max(0.0, graph.difference[i, j] - graph.clip)
    for k, (i, j) in itertools.product(range(count), pairs):
        geodesic[i, j] = min(geodesic[i, j], geodesic[i, k] + geodesic[k, j])
    probability, background = np.empty(count), np.empty(count)
    for i in range(count):
        reach = [_weight(d, scales.geodesic) for d in geodesic[i]]
        tied = sum(r for r, b in zip(reach, boundary, strict=True) if b) / math.sqrt(sum(reach))
        probability[i] = 1 - math.exp(-(tied**2) / 2)
        background[i] = 5 * (1000 if tied > 3 else probability[i])
    contrast = np.zeros(count)
    for i, j in pairs:
        near = _weight(math.dist(graph.position[i], graph.position[j]), 0.4)
        contrast[i] += graph.difference[i, j] * near * probability[j]
    contrast = stretch(contrast)
    contrast[contrast < otsu_threshold(contrast)] = 0
    matrix = np.diag(background + contrast)
    for i, j in pairs:
        if i != j:
            smooth = 0.1 * graph.counts[i, j]
            if graph.near[i, j] or (boundary[i] and boundary[j]):
                sigma, apart = scales.neighbor, graph.difference[i, j]
                smooth += _weight(apart, sigma) if sigma else float(apart == 0)
            matrix[i, j] -= smooth
            matrix[i, i] += smooth
    return stretch(np.linalg.solve(matrix, contrast))


@given(segmented_pictures(), st.integers(1, 3))
def test_the_whole_equals_the_paper_read_one_superpixel_at_a_time(picture, band):
    graph = graph_of(describe(*picture), band=band)
    assert_same_saliency(rbd_values(graph, PARAMETERS), _literally(graph))


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


def _intermediates(superpixels):
    """Every step that the golden data holds, by the names that the release gives them."""
    graph = graph_of(superpixels, band=8)
    sigma = _sigmas(graph.difference, graph.adjacent, PARAMETERS).geodesic
    pairs = pairs_of(graph.linked)
    cost = np.maximum(at_pairs(graph.difference, pairs) - graph.clip, 0)
    group, geodesic = shortest_paths(pairs, cost, len(superpixels), 3 * sigma)
    connectivity = boundary_connectivity(group, geodesic, graph.on_boundary, sigma=sigma)
    probability = background_probability(connectivity, sigma=1.0)
    contrast = background_weighted_contrast(
        graph.difference, graph.position, probability, sigma=0.4
    )
    return {"bdCon": connectivity, "bgProb": probability, "wCtr": contrast}


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_every_step_gives_what_the_release_gave(number):
    golden = load_golden(number)
    for name, actual in _intermediates(golden.superpixels).items():
        assert_allclose(actual, golden.values[name], atol=1e-9, err_msg=name)
    actual = _values(golden.superpixels, band=8)
    assert_allclose(actual, stretch(golden.values["optwCtr"]), atol=1e-9)


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_the_optimisation_solves_the_release_s_own_system(number):
    golden = load_golden(number)
    values = golden.values
    lab, counts = values["meanLabCol"], values["adjcMatrix"].astype(float)
    count = len(lab)
    smoothness = 0.1 * counts
    boundary = set(values["bdIds"].astype(int) - 1)
    steps = np.linalg.matrix_power(counts, 2) > 0
    for i, j in itertools.product(range(count), repeat=2):
        if steps[i, j] or {i, j} <= boundary:
            smoothness[i, j] += _weight(math.dist(lab[i], lab[j]), values["neiSigma"])
    on_boundary = np.isin(np.arange(count), list(boundary))
    found = _optimize(values["wCtr"], 5 * values["bgWeight"], smoothness, on_boundary)
    assert_allclose(found, values["optwCtr"], atol=1e-9)
    certain = values["bdCon"] > PARAMETERS.certain_connectivity
    weight = np.where(certain, PARAMETERS.certain_weight, values["bgProb"])
    assert_allclose(values["bgWeight"], weight)


def test_a_square_on_a_plain_ground_is_all_that_is_salient():
    image = np.full((224, 224, 3), (40, 60, 160), np.uint8)
    image[64:160, 80:144] = (220, 180, 40)
    saliency = rbd(image, PARAMETERS)
    assert saliency[70:154, 86:138].min() > 0.9
    assert saliency[:40].max() < 0.1
    assert saliency[:, :50].max() < 0.1


@pytest.mark.skipif(not ECSSD.is_dir(), reason="needs ECSSD's images beside the repository")
def test_photographs_have_the_release_s_colours_values_and_maps_in_every_pixel():
    for values, image, released in released_maps("mid", "rbd"):
        top, bottom, left, right = values["frameRecord"].astype(int)[2:]
        inside = slice(top - 1, bottom), slice(left - 1, right)
        labels = values["idx16"].astype(np.int32) - 1
        superpixels = describe(image[inside], labels)
        assert_allclose(rgb_to_lab(superpixels.rgb), values["meanLabCol"], atol=1e-9)
        found = _values(superpixels, band=8)
        assert_allclose(found, stretch(values["optwCtr"]), atol=1e-9)
        painted = np.zeros(image.shape[:2])
        painted[inside] = found[labels]
        assert_array_equal(np.floor(255 * painted + 0.5), released)


@pytest.mark.skipif(not ECSSD.is_dir(), reason="needs ECSSD's images beside the repository")
def test_masks_of_photographs_are_nearly_those_of_the_release():
    likeness = likeness_to_released_maps(Method(PARAMETERS, rbd), "rbd")
    assert np.median(likeness) > 0.9
    assert np.mean(likeness) > 0.8
