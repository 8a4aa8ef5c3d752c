"""Maps to masks by graph cuts: objects found, paths kept whole, and nothing that fails."""

import dataclasses
import threading
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from dilo.eval.attribution.graphcut import color_energy, minimal_cut, seeds_of
from dilo.eval.attribution.maskmethods import SEGMENTATIONS, GradientParameters
from dilo.eval.attribution.pixelgraph import geodesic_forest
from dilo.eval.attribution.seeded import CUTS, _largest, segmented
from dilo.pipeline.images.resizing import squash

SIDE = 64
OBJECT = np.zeros((SIDE, SIDE), bool)
OBJECT[18:46, 16:42] = True
PARAMETERS = {name: GradientParameters(segmentation=name) for name in SEGMENTATIONS}

both = pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)


def _picture(seed=0):
    """Draw a bright, noisy object on a dark, noisy ground."""
    noise = np.random.default_rng(seed).normal(0, 12, (SIDE, SIDE, 3))
    color = np.where(OBJECT[..., None], [190, 160, 60], [60, 80, 120])
    return np.clip(color + noise, 0, 255).astype(np.uint8)


def _gradient(seed=0, center=(32, 29)):
    """Draw a map as gradients are: specks, most of them near a point."""
    rng = np.random.default_rng(seed)
    squared = np.square(np.indices((SIDE, SIDE)) - np.array(center)[:, None, None]).sum(0)
    return rng.exponential(1.0, (SIDE, SIDE)) * np.exp(-squared / 200)


def _scattered(rng, side):
    return rng.integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_there_is_a_cut_for_each_name():
    assert set(CUTS) == set(SEGMENTATIONS)


@both
def test_specks_on_an_object_become_the_object(parameters):
    mask = segmented(_picture(), _gradient(), parameters)
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert (mask.dtype, mask.shape) == (np.float64, (SIDE, SIDE))
    assert ((mask == 1) != OBJECT).mean() < 0.01


def test_the_cuts_differ_where_the_object_is_no_star():
    """Two bars joined at no point: a second bar of the object's colours is beyond the ground."""
    image = _picture()
    image[18:46, 50:60] = image[18:46, 20:30]
    with_second = {name: segmented(image, _gradient(), p) for name, p in PARAMETERS.items()}
    for mask in with_second.values():
        assert mask[32, 29] == 1
        assert mask[32, 46] == mask[32, 55] == 0  # the largest part alone stays
    seeds = seeds_of(_gradient(), PARAMETERS["star"])
    assert CUTS["grabcut"](image, seeds, PARAMETERS["grabcut"])[32, 55]
    assert not CUTS["star"](image, seeds, PARAMETERS["star"])[32, 55]


def _blobs(seed, side):
    """Draw blobs of two noisy colours, and a map of specks on some of one colour."""
    rng = np.random.default_rng(seed)
    bright = cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), 1.5) > 0
    noise = rng.normal(0, 30, (side, side, 3))
    color = np.where(bright[..., None], [170, 140, 80], [80, 90, 120])
    image = np.clip(color + noise, 0, 255).astype(np.uint8)
    return image, rng.exponential(1.0, (side, side)) * np.where(bright, 1.0, 0.4)


def _broken(image, centers, foreground, weight):
    """Walk the path of every pixel of the foreground; count those that leave it."""
    _, parent = geodesic_forest(image.astype(np.float64), centers, weight)
    foreground, left = foreground.ravel(), 0
    for pixel in np.flatnonzero(foreground):
        path = [pixel]
        while parent[path[-1]] != path[-1]:
            path.append(parent[path[-1]])
        assert centers.ravel()[path[-1]]
        left += not foreground[path].all()
    return left


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 1.0]), st.integers(2, 28))
@settings(max_examples=30)
def test_with_every_pixel_of_a_star_its_path_to_a_centre_is_foreground(seed, weight, side):
    image, saliency = _blobs(seed, side)
    star = dataclasses.replace(PARAMETERS["star"], geodesic_weight=weight, edge_weight=5.0)
    centers = seeds_of(saliency, star).sure_foreground
    assert _broken(image, centers, segmented(image, saliency, star) == 1, weight) == 0


def test_without_the_constraint_paths_leave_the_foreground():
    star = dataclasses.replace(PARAMETERS["star"], edge_weight=5.0)
    for seed in range(5):
        image, saliency = _blobs(seed, 28)
        seeds = seeds_of(saliency, star)
        free = minimal_cut(color_energy(image, seeds, star), seeds).reshape(28, 28)
        whole = CUTS["star"](image, seeds, star)
        assert _broken(image, seeds.sure_foreground, free, 0.3) > 50
        assert _broken(image, seeds.sure_foreground, whole, 0.3) == 0
        assert whole.sum() > 50


def test_without_colour_a_star_is_seen_whole_from_its_centre():
    """Along the row and the column of a lone centre nothing interrupts a star."""
    euclidean = dataclasses.replace(PARAMETERS["star"], geodesic_weight=0.0, edge_weight=1.0)
    image, likely = _blobs(0, 28)
    seeds = seeds_of(likely, euclidean)
    center, corner = np.zeros((28, 28), bool), np.zeros((28, 28), bool)
    center[np.unravel_index((likely * (np.indices((28, 28)).min(0) > 9)).argmax(), (28, 28))] = True
    corner[0, 0] = True
    seeds = dataclasses.replace(seeds, sure_foreground=center, sure_background=corner)
    foreground = CUTS["star"](image, seeds, euclidean)
    ((y, x),) = np.argwhere(center)
    rays = foreground[y, x:], foreground[y, x::-1], foreground[y:, x], foreground[y::-1, x]
    assert sum(map(np.sum, rays)) > 12
    for ray in rays:
        assert (np.diff(ray.astype(int)) <= 0).all()


@both
def test_the_mask_is_the_largest_part_that_holds_a_sure_seed(parameters):
    image = _picture(3)
    image[50:62, 4:16] = image[20:32, 20:32]
    image[4:7, 55:58] = image[20:23, 20:23]
    saliency = _gradient(3)
    saliency[5, 56] = 2 * saliency.max()
    seeds = seeds_of(saliency, parameters)
    foreground = CUTS[parameters.segmentation](image, seeds, parameters)
    parts, count = ndimage.label(foreground, np.ones((3, 3)))
    held = [parts == i for i in range(1, count + 1) if seeds.sure_foreground[parts == i].any()]
    assert len(held) > 1
    expected = max(held, key=np.sum)
    assert_array_equal(segmented(image, saliency, parameters), expected.astype(float))


def test_parts_without_a_seed_are_no_object_and_corners_join():
    foreground, seeds = np.zeros((6, 9), bool), np.zeros((6, 9), bool)
    foreground[:, 6:] = True  # the largest, but without a seed
    foreground[0, 0] = seeds[0, 0] = True
    foreground[2, 2] = foreground[3, 3] = foreground[4, 4] = seeds[4, 4] = True
    foreground[5, 0:2] = seeds[5, 0] = True
    expected = np.zeros((6, 9), bool)
    expected[[2, 3, 4], [2, 3, 4]] = True
    assert_array_equal(_largest(foreground, seeds), expected)


@both
def test_a_reduced_cut_is_stretched_bilinearly(parameters):
    small = dataclasses.replace(parameters, cut_side=32)
    image, saliency = _picture(), _gradient()
    mask = segmented(image, saliency, small)
    halved = saliency.reshape(32, 2, 32, 2).mean((1, 3))
    cut = segmented(squash(image, 32), halved, small)
    assert_allclose(mask, cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))
    assert ((mask > 0.5) != OBJECT).mean() < 0.02
    assert 0 < ((mask > 0) & (mask < 1)).mean() < 0.1


@both
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("side", [1, 2, 33])
def test_a_constant_map_gives_zeros(parameters, side, value):
    small = dataclasses.replace(parameters, cut_side=16)
    image = _scattered(np.random.default_rng(0), side)
    assert_array_equal(segmented(image, np.full((side, side), value), small), 0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.sampled_from([1, 2, 256]))
@settings(max_examples=60)
def test_any_image_and_map_give_a_mask_in_silence(seed, side, levels):
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 256, (levels, 3), dtype=np.uint8)
    image = colors[rng.integers(levels, size=(side, side))]
    for saliency in (
        rng.random((side, side)),
        rng.integers(0, 2, (side, side)) * 1e-30,
        np.eye(side) * 1e30,
        -np.eye(side),
    ):
        for parameters in PARAMETERS.values():
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                mask = segmented(
                    image, saliency, dataclasses.replace(parameters, cut_side=16, iterations=2)
                )
            assert mask.shape == (side, side)
            assert (mask.min() >= 0) & (mask.max() <= 1)
            assert mask.any() == (saliency.min() < saliency.max())


@both
def test_image_and_map_are_left_as_they_were(parameters):
    image, saliency = _picture(), _gradient()
    before = image.copy(), saliency.copy()
    segmented(image, saliency, parameters)
    assert_array_equal(image, before[0])
    assert_array_equal(saliency, before[1])


def _colorful(seed):
    """Draw what leaves much to chance: many colours, no edges, and half of the pixels as seeds."""
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.normal(size=(28, 28, 3)), (0, 0), 1.5)
    image = np.clip(128 + 300 * smooth, 0, 255).astype(np.uint8)
    return image, rng.exponential(1.0, (28, 28)) * (0.2 + (image[..., 0] > 128))


MANY = {"foreground": 0.6, "sure_foreground": 0.97, "background": 0.4, "sure_background": 0.03}


@both
def test_what_opencv_drew_before_does_not_matter_but_the_seed_does(parameters):
    masks = []
    for seed in (0, 0, 1, 2, 3):
        cv2.setRNGSeed(len(masks))
        reseeded = dataclasses.replace(parameters, seed=seed, **MANY)
        masks.append([segmented(*_colorful(i), reseeded) for i in range(6)])
    assert_array_equal(masks[1], masks[0])
    assert any(not np.array_equal(other, masks[0]) for other in masks[2:])


@both
def test_several_threads_make_the_masks_of_one(parameters):
    rng = np.random.default_rng(8)
    problems = [_colorful(seed) for seed in range(6)]
    parameters = dataclasses.replace(parameters, **MANY)
    expected = [segmented(image, saliency, parameters) for image, saliency in problems]
    wrong = []

    def work(order):
        for i in order:
            same = np.array_equal(segmented(*problems[i], parameters), expected[i])
            wrong.extend([] if same else [i])

    threads = [threading.Thread(target=work, args=(rng.permutation(6),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("iterations", 0, "iterations must be at least 1"),
        ("uniform", 0.0, "uniform must be above 0 and at most 1, got 0.0"),
        ("uniform", 1.5, "uniform must be above 0 and at most 1, got 1.5"),
        ("geodesic_weight", 1.1, "geodesic_weight must be from 0 to 1, got 1.1"),
        ("geodesic_weight", np.nan, "geodesic_weight must be from 0 to 1, got nan"),
        ("edge_weight", -1.0, "edge_weight must be at least 0"),
        ("background", 0.95, "must be quantiles from 0 to 1, got 0.005, 0.95, 0.95, 0.995"),
        ("precision", "bf16", "precision must be fp32 for a gradient, .* got 'bf16'"),
        ("segmentation", "snake", "segmentation must be one of grabcut, star, got 'snake'"),
    ],
)
def test_what_makes_no_cut_is_refused(name, value, rule):
    with pytest.raises(ValueError, match=rule):
        GradientParameters(**{name: value})
