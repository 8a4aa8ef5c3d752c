"""A network that is open: its three steps, and what must come of each."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from skimage import data
from support.networks import gain

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency import MaskRecipe, saliency
from dilo.pipeline.saliency.network import NetworkMethod
from dilo.pipeline.saliency.networkmasks import NetworkMasks, open_masks
from dilo.pipeline.saliency.networkparameters import NetworkParameters
from dilo.pipeline.saliency.weights import weights_digest

CAT = data.chelsea()


class Gray:
    """What is bright is salient; each step can be made to err."""

    def __init__(self, maps=None, finish=None):
        self.others = maps, finish

    def prepare(self, image):
        return squash(image, 32).astype(np.float32) / 255

    def maps(self, seen, paths):
        found = seen.mean(axis=3, dtype=np.float32)
        return self.others[0](found) if self.others[0] else found

    def finish(self, seen, found):
        found = found.astype(np.float64)
        return self.others[1](found) if self.others[1] else found


def masks_of(network, refine=None):
    method = NetworkMethod(NetworkParameters(side=32), lambda *given: network)
    refinement = MaskRecipe.create("rbd", refine).refinement
    return NetworkMasks(MaskRecipe("gray", method, refine, refinement), network)


def gray(image, side=32):
    return np.floor(255 * (squash(image, side) / np.float32(255)).mean(axis=2) + 0.5)


def test_a_mask_of_the_network_s_own_size_is_not_resized_and_another_is_squashed():
    masks = masks_of(Gray())
    own = masks(CAT, 32)
    assert np.abs(own - gray(CAT)).max() <= 1
    assert_array_equal(masks(CAT, 9), squash(own, 9))
    assert_array_equal(masks(CAT, 70), squash(own, 70))


def test_the_three_steps_of_a_batch_give_what_one_call_gives_for_each_image():
    masks = masks_of(Gray())
    images = [CAT, CAT[::-1], CAT[:50]]
    prepared = [masks.prepare(image) for image in images]
    found = masks.maps(prepared, ["a", "b", "c"])
    for image, ready, one in zip(images, prepared, found, strict=True):
        assert_array_equal(masks.finish(ready, one, 32), masks(image, 32))


def test_a_refinement_sees_the_squashed_image():
    refined, plain = masks_of(Gray(), "grabcut"), masks_of(Gray())
    found = plain.network.finish(None, plain.maps([plain.prepare(CAT)], [""])[0])
    expected = refined.recipe.refinement(squash(CAT, 32), found)
    assert_array_equal(refined(CAT, 32), np.floor(255 * expected + 0.5))
    assert plain.prepare(CAT).squashed is None


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Gray(maps=lambda m: m * np.nan), "a map must be finite, got NaN or infinity"),
        (Gray(maps=lambda m: m * np.inf), "a map must be finite, got NaN or infinity"),
        (Gray(maps=lambda m: m[:0]), r"maps must have shape \(1, S, S\), got \(0, 32, 32\)"),
        (Gray(maps=lambda m: m[0]), r"maps must have shape \(1, S, S\), got \(32, 32\)"),
        (Gray(finish=lambda m: m + 1), "a square of values from 0 to 1, got"),
        (Gray(finish=lambda m: m[:9]), r"a square of values from 0 to 1, got \(9, 32\)"),
    ],
)
def test_what_is_no_map_is_no_mask(network, message):
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=message):
        masks_of(network)(CAT, 32)


def test_other_weights_than_those_of_the_recipe_are_refused(networks, tmp_path):
    first, second = gain(tmp_path / "a.pt"), gain(tmp_path / "b.pt", 2)
    recipe = MaskRecipe.create("net", weights=weights_digest(first))
    assert open_masks(recipe, first, "cpu")(CAT, 32).max() == 255
    with pytest.raises(DiloError, match=r"b\.pt must be the file that the masks are planned with,"):
        open_masks(recipe, second, "cpu")
    with pytest.raises(TypeError, match="recipe must be a network's, got rbd's"):
        open_masks(MaskRecipe.create("rbd"), first, "cpu")


def test_an_image_has_its_mask_in_a_line_and_of_the_network_s_own_size(networks, tmp_path):
    weights = gain(tmp_path / "weights.pt")
    recipe = MaskRecipe.create("net", weights=weights_digest(weights))
    mask = saliency(CAT, "net", weights=weights)
    assert mask.shape == (32, 32)
    assert_array_equal(mask, open_masks(recipe, weights, "cpu")(CAT, 32))
    assert saliency(CAT, "net", size=8, weights=str(weights)).shape == (8, 8)
    with pytest.raises(ValueError, match="weights must be given for net, which is a network"):
        saliency(CAT, "net")
    with pytest.raises(ValueError, match="weights belong to a method that is a network, got 'rbd'"):
        saliency(CAT, "rbd", weights=weights)
