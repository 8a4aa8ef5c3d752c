"""What holds of a network's masks whatever it has learned: here, nothing."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from skimage import data
from support.networks import weights_of
from support.odd_images import IMAGES, square

from dilo.pipeline.saliency import METHODS, REFINEMENTS, Method, saliency
from dilo.pipeline.saliency.networkmasks import open_masks
from dilo.pipeline.saliency.recipe import recipe_by_weights

NETWORKS = [name for name in sorted(METHODS) if not isinstance(METHODS[name], Method)]
networks = pytest.mark.parametrize("method", NETWORKS)
#: Each network as it is, and one refined: what refines sees the mask, not what made it.
refined = pytest.mark.parametrize(
    ("method", "refine"),
    [*((name, None) for name in NETWORKS), *((NETWORKS[0], name) for name in sorted(REFINEMENTS))],
)


@pytest.fixture(scope="module")
def weights(module_folder):
    """Write small weights for each network."""
    return {method: weights_of(method, module_folder) for method in NETWORKS}


@pytest.fixture(scope="module")
def made(weights):
    """Give a function that makes a mask of a network on a small image."""

    @functools.cache
    def opened(method, refine, side):
        recipe = recipe_by_weights(method, refine, {"side": side}, weights[method])
        return open_masks(recipe, weights[method], "cpu")

    def make(image, method, refine=None, size=None, side=64):
        masks = opened(method, refine, side)
        return masks(image, masks.recipe.mask_size(size))

    return make


@refined
@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_any_image_has_a_mask_and_always_the_same(made, method, refine, image):
    before = image.copy()
    mask = made(image, method, refine, side=32)
    assert mask.shape == (32, 32)
    assert mask.dtype == np.uint8
    assert_array_equal(mask, made(image.copy(), method, refine, side=32))
    assert_array_equal(image, before)


@networks
def test_a_mask_may_be_small(made, method):
    for size in (1, 2, 7, 30):
        assert made(square(), method, size=size).shape == (size, size)


@refined
@given(
    arrays(
        np.uint8, st.tuples(*[st.integers(1, 30)] * 2, st.just(3)), elements=st.integers(0, 255)
    ),
    st.sampled_from([32, 96]),
)
@settings(max_examples=5, deadline=None)
def test_no_image_fails_or_warns_in_a_network_of_any_side(made, method, refine, image, side):
    mask = made(image, method, refine, size=48, side=side)
    assert mask.shape == (48, 48)


@networks
def test_a_network_of_any_weights_tells_photographs_apart_and_uses_all_values(made, method):
    cat, rocket = (made(image, method) for image in (data.chelsea(), data.rocket()))
    assert (cat.min(), cat.max()) == (rocket.min(), rocket.max()) == (0, 255)
    assert not np.array_equal(cat, rocket)


@networks
def test_a_mask_in_a_line_is_that_of_the_network_opened_once(made, method, weights):
    image = data.chelsea()
    for refine in (None, *REFINEMENTS):
        mask = saliency(
            image, method, refine=refine, settings={"side": 64}, weights=weights[method]
        )
        assert_array_equal(mask, made(image, method, refine))
