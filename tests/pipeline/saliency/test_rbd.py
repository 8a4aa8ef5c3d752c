"""RBD's steps against the paper read literally, against the release, and in their limits."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from PIL import Image
from support.graphs import color_graphs, load_golden, segmented_pictures

from dilo.pipeline.saliency.graph import (
    adjacency_counts,
    color_scales,
    geodesic_distance,
    pairwise_distance,
    two_step_neighbors,
)
from dilo.pipeline.saliency.parameters import RbdParameters
from dilo.pipeline.saliency.rbd import (
    background_probability,
    background_weighted_contrast,
    boundary_connectivity,
    optimize,
    otsu_threshold,
    rbd,
    stretch,
    superpixel_saliency,
)
from dilo.pipeline.saliency.superpixels import describe

PARAMETERS = RbdParameters()
ECSSD = Path(__file__).resolve().parents[4] / "shared" / "data" / "ecssd-dev"


def _weight(distance, sigma):
    return math.exp(-(distance**2) / (2 * sigma**2)) if distance <= 3 * sigma else 0.0


@given(color_graphs(), st.floats(1.0, 50.0))
def test_boundary_connectivity_is_length_over_root_area(graph, sigma):
    geodesic, _, on_boundary = graph
    expected = []
    for row in geodesic:
        length = sum(_weight(d, sigma) for d, b in zip(row, on_boundary, strict=True) if b)
        expected.append(length / math.sqrt(sum(_weight(d, sigma) for d in row)))
    actual = boundary_connectivity(geodesic, on_boundary, sigma=sigma)
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


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_otsu_separates_the_classes_that_lie_furthest_apart(values):
    bins = [math.floor(255 * v + 0.5) for v in values]
    between = []
    for cut in range(256):
        low, high = [b for b in bins if b <= cut], [b for b in bins if b > cut]
        if low and high:
            gap = sum(high) / len(high) - sum(low) / len(low)
            between.append(len(low) * len(high) * gap**2)
        else:
            between.append(0.0)
    best = max(between)
    tied = [cut for cut, b in enumerate(between) if math.isclose(b, best, rel_tol=1e-9)]
    expected = sum(tied) / len(tied) / 255 if best > 0 else 0.0
    assert math.isclose(otsu_threshold(np.array(values)), expected, abs_tol=1e-12)


@given(color_graphs(), st.integers(0, 2**32 - 1))
def test_the_optimum_is_stationary_and_lies_in_the_unit_interval(graph, seed):
    smoothness, _, _ = graph
    count = len(smoothness)
    rng = np.random.default_rng(seed)
    foreground, background = rng.random(count), 5 * rng.random(count) + 1e-3
    found = optimize(foreground, background, smoothness + np.eye(count))
    for i in range(count):
        slope = background[i] * found[i] + foreground[i] * (found[i] - 1)
        slope += sum(smoothness[i, j] * (found[i] - found[j]) for j in range(count))
        assert abs(slope) < 1e-9
    assert found.min() >= -1e-12
    assert found.max() <= 1 + 1e-12


def test_two_superpixels_have_the_solution_found_by_hand():
    # (b + w) s - w t = 0 and (f + w) t - w s = f, with f = b = w = 1: s = 1/3, t = 2/3
    found = optimize(np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert_allclose(found, [1 / 3, 2 / 3], rtol=1e-14)


def test_an_optimum_that_is_not_unique_is_refused():
    with pytest.raises(ValueError, match="background must be positive somewhere"):
        optimize(np.zeros(2), np.zeros(2), np.ones((2, 2)))


def test_the_same_values_stretch_to_nought():
    assert stretch(np.array([3.0, 3.0])).tolist() == [0, 0]
    assert_allclose(stretch(np.array([1.0, 2.0, 5.0])), [0, 0.25, 1], rtol=1e-14)


@given(segmented_pictures(), st.integers(0, 2**32 - 1))
def test_numbering_superpixels_otherwise_changes_nothing(picture, seed):
    image, labels = picture
    order = np.random.default_rng(seed).permutation(labels.max() + 1)
    saliency = superpixel_saliency(describe(image, labels, band=1), PARAMETERS)
    renumbered = superpixel_saliency(describe(image, order[labels], band=1), PARAMETERS)
    assert np.isfinite(saliency).all()
    # Otsu's vote may fall the other way when rounding differs: then both must be masks alike.
    if not np.allclose(renumbered[order], saliency, atol=1e-6):
        assert np.corrcoef(renumbered[order], saliency)[0, 1] > 0.5


def _intermediates(superpixels):
    """Every step that the golden data holds, by the names that the release gives them."""
    counts = adjacency_counts(superpixels.labels)
    adjacent = (counts > 0) & ~np.eye(len(counts), dtype=bool)
    difference = pairwise_distance(superpixels.lab)
    scales = color_scales(difference, adjacent, two_step_neighbors(adjacent), PARAMETERS)
    boundary = superpixels.on_boundary
    geodesic = geodesic_distance(difference, adjacent, boundary, clip=scales.clip)
    connectivity = boundary_connectivity(geodesic, boundary, sigma=scales.geodesic_sigma)
    probability = background_probability(connectivity, sigma=1.0)
    contrast = background_weighted_contrast(
        difference, superpixels.position, probability, sigma=0.4
    )
    return {"bdCon": connectivity, "bgProb": probability, "wCtr": contrast}


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_every_step_gives_what_the_release_gave(number):
    golden = load_golden(number)
    for name, actual in _intermediates(golden.superpixels).items():
        assert_allclose(actual, golden.values[name], atol=1e-9, err_msg=name)
    actual = superpixel_saliency(golden.superpixels, PARAMETERS)
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
    found = optimize(values["wCtr"], 5 * values["bgWeight"], smoothness)
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
def test_mean_colours_and_saliency_of_photographs_are_the_release_s():
    for path in sorted((ECSSD / "oracle" / "mid").glob("*.npz")):
        with np.load(path) as values, Image.open(ECSSD / f"images/{path.stem}.jpg") as opened:
            top, bottom, left, right = values["frameRecord"].astype(int)[2:]
            image = np.asarray(opened.convert("RGB"))[top - 1 : bottom, left - 1 : right]
            superpixels = describe(image, values["idx16"].astype(np.intp) - 1, band=8)
            assert_allclose(superpixels.lab, values["meanLabCol"], atol=1e-9)
            expected = stretch(values["optwCtr"])
        assert_allclose(superpixel_saliency(superpixels, PARAMETERS), expected, atol=1e-9)


@pytest.mark.skipif(not ECSSD.is_dir(), reason="needs ECSSD's images beside the repository")
def test_masks_of_photographs_are_nearly_those_of_the_release():
    correlations = []
    for path in sorted((ECSSD / "images").glob("*.jpg"))[::10]:
        with Image.open(path) as image, Image.open(ECSSD / f"oracle/rbd/{path.stem}.png") as map_:
            squashed = image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
            oracle = np.asarray(map_.convert("L").resize((224, 224)), dtype=float)
        mask = rbd(np.asarray(squashed), PARAMETERS)
        correlations.append(np.corrcoef(mask.ravel(), oracle.ravel())[0, 1])
    assert np.median(correlations) > 0.9
    assert np.mean(correlations) > 0.8
