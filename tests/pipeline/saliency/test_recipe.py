"""What decides a mask, by name and written down; and the resize that all masks go through."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skimage import data

from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency import METHODS, REFINEMENTS, MaskRecipe, Method, Parameters, saliency

CLASSICAL = [name for name in sorted(METHODS) if isinstance(METHODS[name], Method)]
NETWORKS = sorted(set(METHODS) - set(CLASSICAL))
#: As `weights_digest` gives one.
DIGEST = "ab" * 32


@pytest.mark.parametrize("method", CLASSICAL)
@pytest.mark.parametrize("refine", [None, *sorted(REFINEMENTS)])
def test_a_recipe_written_down_makes_the_same_masks(method, refine):
    settings = {"side": 100, "superpixels": 90} | ({"refine.seed": 3} if refine else {})
    recipe = MaskRecipe.create(method, refine, settings)
    written = json.loads(json.dumps(recipe.parameters()))
    again = MaskRecipe.from_plan(method, written)
    assert again == recipe
    assert recipe.side == 100
    photo = data.chelsea()
    assert_array_equal(again(photo, 64), recipe(photo, 64))
    assert_array_equal(
        recipe(photo, 64), saliency(photo, method, size=64, refine=refine, settings=settings)
    )


@pytest.mark.parametrize("method", NETWORKS)
@pytest.mark.parametrize("refine", [None, *sorted(REFINEMENTS)])
def test_a_network_s_weights_are_written_down_by_their_digest_and_read_again(method, refine):
    recipe = MaskRecipe.create(method, refine, {"side": 64}, weights=DIGEST)
    written = json.loads(json.dumps(recipe.parameters()))
    assert (written["weights"], written["side"]) == (DIGEST, 64)
    assert MaskRecipe.from_plan(method, written) == recipe
    assert recipe.is_network
    with pytest.raises(ValueError, match=f"{method} is a network, and must be opened with its wei"):
        recipe(data.chelsea(), 16)


def test_a_mask_is_as_large_as_asked_for_or_as_its_network_makes_it():
    sizes = {name: MaskRecipe.create(name).mask_size(None) for name in METHODS}
    assert sizes == dict.fromkeys(CLASSICAL, 224) | {
        "basnet": 256,
        "cam": 224,
        "gradient": 224,
        "contracam": 224,
        "tokencut": 224,
        "unet": 128,
    }
    assert {MaskRecipe.create(name).mask_size(99) for name in METHODS} == {99}
    assert MaskRecipe.create("unet", None, {"side": 64}).mask_size(None) == 64


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("rbd", {}, "weights belong to a method that is a network, got 'rbd'"),
        (
            "basnet",
            {"weights": "x"},
            r"weights are given only by their file: omit weights=\.\.\.",
        ),
    ],
)
def test_weights_are_a_network_s_and_of_a_file(method, settings, message):
    with pytest.raises(ValueError, match=message):
        MaskRecipe.create(method, None, settings, weights=DIGEST)


def test_a_refinement_and_its_parameters_are_part_of_what_is_written_down():
    plain, refined = (MaskRecipe.create("rbd", refine) for refine in (None, "grabcut"))
    assert "refine" not in plain.parameters()
    assert refined.parameters()["refine"]["method"] == "grabcut"
    changed = MaskRecipe.create("rbd", "grabcut", {"refine.seed": 9}).parameters()
    assert changed["refine"]["seed"] == 9
    assert changed != refined.parameters()


def test_a_refinement_changes_the_mask():
    photo = data.chelsea()
    assert not np.array_equal(saliency(photo), saliency(photo, refine="grabcut"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("magic",), "method must be one of .*rbd.*, got 'magic'$"),
        (("rdb",), "method must be one of .*rbd.*, got 'rdb': did you mean rbd"),
        (("rbd", "grabcat"), "refine must be one of grabcut, got 'grabcat': did you mean grabcut"),
        (("rbd", None, {"superpixel": 9}), "no such parameter: did you mean superpixels"),
        (("rbd", None, {"segmentation": "compile"}), "got 'compile': did you mean compiled"),
        (("rbd", "magic"), "refine must be one of grabcut, got 'magic'"),
        (("rbd", None, {"refine.seed": 1}), "refine.seed needs a refinement, got none"),
        (("rbd", "grabcut", {"refine.nonsense": 1}), "nonsense must be one of .*no such param"),
        (("rbd", None, {"superpixels": 0}), "superpixels must be at least 1"),
    ],
)
def test_a_name_or_value_that_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskRecipe.create(*arguments)


def test_parameters_of_another_version_are_refused():
    known = MaskRecipe.create("rbd").parameters()
    with pytest.raises(ValueError, match="newer must be one of"):
        MaskRecipe.from_plan("rbd", known | {"newer": 1})
    del known["side"]
    with pytest.raises(ValueError, match=r"rbd must have a value for each .* got none: side"):
        MaskRecipe.from_plan("rbd", known)


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (np.full((8, 8), 1.5), r"\(8, 8\) from 1.5 to 1.5"),
        (np.full((8, 8), -0.1), r"from -0.1 to -0.1"),
        (np.full((8, 8), np.nan), "from nan to nan"),
        (np.zeros((8, 9)), r"\(8, 9\)"),
        (np.zeros(8), r"\(8,\)"),
    ],
)
def test_what_is_no_map_is_no_mask(given, got):
    recipe = MaskRecipe("foreign", Method(Parameters(), lambda image, parameters: given))
    with pytest.raises(ValueError, match=f"a square of values from 0 to 1, got (.* )?{got}"):
        recipe(data.chelsea(), 16)


def test_a_map_of_any_side_becomes_a_mask_of_the_size_asked_for():
    half = np.zeros((3, 3))
    half[:, 1:] = 1.0
    recipe = MaskRecipe("foreign", Method(Parameters(), lambda image, parameters: half))
    assert recipe(data.chelsea(), 3).tolist() == [[0, 255, 255]] * 3
    assert recipe(data.chelsea(), 64).shape == (64, 64)


def test_squashing_to_half_and_less_takes_the_mean_of_what_becomes_a_pixel():
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    expected = image.reshape(30, 2, 30, 3, 3).mean(axis=(1, 3))
    assert_allclose(squash(image, 30), expected, atol=0.51)


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (40, 40), (3, 900), (1, 40000)])
@pytest.mark.parametrize("side", [1, 40])
def test_squashing_gives_a_square_of_any_shape_and_keeps_one_colour(shape, side):
    image = np.full((*shape, 3), (9, 90, 200), np.uint8)
    squashed = squash(image, side)
    assert squashed.shape == (side, side, 3)
    assert (squashed == image[0, 0]).all()
    assert squash(image[:, :, 0], side).shape == (side, side)


def test_a_square_of_the_size_asked_for_is_left_as_it_is():
    image = data.chelsea()[:50, :50]
    assert_array_equal(squash(image, 50), image)


@pytest.mark.parametrize(
    ("method", "refine", "settings", "words"),
    [
        ("rbd", None, {"side": 10**30}, r"side must be finite and below 2\*\*63, got 1000"),
        ("rbd", None, {"side": 5000}, "side must be at most 4096, got 5000"),
        ("rbd", None, {"superpixels": 10**9}, "superpixels must be at most 100000, got"),
        ("rbd", None, {"iterations": 10**9}, "iterations must be at most 10000, got"),
        ("rbd", None, {"frame_reach": 1e300}, "frame_reach must be at most 1, got 1e.300"),
        ("rbd", None, {"position_sigma": float("nan")}, "must be finite and below"),
        ("rbd", None, {"frame_edge": float("inf")}, "frame_edge must be finite and below"),
        ("rbd", None, {"smallest_superpixel": 1e300}, "must be at most 100"),
        ("rbd", None, {"geodesic_sigma": [-1, -1]}, "geodesic_sigma must be at least 1e-06"),
        ("rbd", None, {"geodesic_sigma": [5, float("nan")]}, "must be finite and below"),
        ("rbd", None, {"connectivity_sigma": 0}, "connectivity_sigma must be at least 1e-06"),
        ("rbd", None, {"certain_weight": -1}, "certain_weight must be at least 0"),
        ("consensus", None, {"background_factor": -1}, "background_factor must be at least 0"),
        ("rbd", None, {"adjacency_weight": -1}, "adjacency_weight must be at least 0"),
        ("gs", None, {"top_superpixels": 9}, "top_superpixels must be at most 1, got 9"),
        ("mr", None, {"manifold_reach": 1}, "manifold_reach must be at most 0.999999, got 1"),
        ("mr", None, {"manifold_decay": 1e9}, "manifold_decay must be at most 500"),
        ("rbd", "grabcut", {"refine.seed": 2**40}, "seed must be at most 2.14748e"),
        ("gradient", None, {"cut_side": 10**6}, "cut_side must be at most 4096"),
    ],
)
def test_a_number_that_no_method_can_use_is_refused_before_any_image(
    method, refine, settings, words
):
    with pytest.raises(ValueError, match=words):
        MaskRecipe.create(method, refine, settings)
