"""The draw of a paste: the authors' frequencies, each decision alone, backgrounds that cover."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from dilo.train.data.draws import KINDS, PasteUniforms, paste_draw, view_draw
from dilo.train.recipes.recipe import BackgroundsRecipe, PasteRecipe, ViewsRecipe

COUNT = 10_000
PASTE = PasteRecipe(probability=1.0)
VIEWS = ViewsRecipe()
MIDDLE = PasteUniforms(*[0.5] * 7)


def pastes(paste=PASTE, count=COUNT, height=300, width=400):
    draws = (
        view_draw(
            VIEWS, paste, seed=4, epoch=0, sample=sample, view=0, height=height, width=width
        ).paste
        for sample in range(count)
    )
    return [draw for draw in draws if draw]


def column(draws, name):
    return np.array([getattr(one, name) for one in draws])


def assert_share(values, expected):
    """Five standard errors: the draws are fixed, so this fails for good or never."""
    assert abs(np.mean(values) - expected) < 5 * math.sqrt(expected * (1 - expected) / len(values))


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_pastes_are_as_frequent_as_asked(probability):
    pasted = len(pastes(PasteRecipe(probability=probability)))
    if probability in (0.0, 1.0):
        assert pasted == COUNT * probability
    assert abs(pasted / COUNT - probability) < 5 * 0.5 / math.sqrt(COUNT)


def test_gray_levels_are_even_from_0_to_254_and_never_255():
    counts = np.bincount(column(pastes(), "gray_level"))
    assert len(counts) == 255
    assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(("blend", "share"), [("none", 0.0), ("gaussian", 1.0), ("mix", 0.5)])
def test_the_mask_is_blurred_as_often_as_the_blend_says(blend, share):
    sigmas = column(pastes(PasteRecipe(probability=1.0, blend=blend)), "blend_sigma")
    assert set(sigmas) <= {0.0, 5.0}
    if share in (0.0, 1.0):
        assert (sigmas > 0).mean() == share
    else:
        assert_share(sigmas > 0, share)


def test_kinds_come_by_their_weights_and_never_with_none():
    weights = BackgroundsRecipe(gray=0.0, textures=1.0, crops=2.5, images=0.0, noise=0.5)
    kinds = column(pastes(dataclasses.replace(PASTE, backgrounds=weights)), "kind")
    for kind, word in enumerate(KINDS):
        weight = getattr(weights, word)
        if weight:
            assert_share(kinds == kind, weight / 4)
        else:
            assert kind not in kinds


def test_the_largest_uniform_number_draws_a_kind_that_has_weight():
    weights = BackgroundsRecipe(gray=0.1, textures=0.2, crops=0.7, noise=0.0)
    paste = dataclasses.replace(PASTE, backgrounds=weights)
    certain = MIDDLE._replace(kind=1 - 2**-53)
    draw = paste_draw(paste, certain, shape=(9, 9), box=(0, 0, 9, 9), flip=False, side=9)
    assert KINDS[draw.kind] == "crops"


def test_the_decisions_are_independent_of_each_other():
    weights = BackgroundsRecipe(gray=1.0, crops=1.0)
    draws = pastes(dataclasses.replace(PASTE, backgrounds=weights))
    places = np.array([one.background_box[:2] for one in draws]).T
    names = ("kind", "gray_level", "pick", "blend_sigma")
    values = [*(column(draws, name).astype(float) for name in names), *places]
    found = np.corrcoef(values)
    assert np.abs(found - np.eye(len(values))).max() < 5 / math.sqrt(COUNT)


@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.integers(8, 300),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
)
@settings(deadline=None)
def test_what_lies_behind_a_whole_image_is_a_part_of_the_picture(shape, side, down, across):
    uniform = MIDDLE._replace(down=down, across=across)
    draw = paste_draw(PASTE, uniform, shape=shape, box=(0, 0, *shape), flip=False, side=side)
    top, left, height, width = draw.background_box
    assert -1e-6 <= top <= top + height <= side + 1e-6
    assert -1e-6 <= left <= left + width <= side + 1e-6
    # Never shrunk, aspect kept, and no larger than it must be to cover the image.
    scale = shape[0] / height
    assert scale == pytest.approx(shape[1] / width)
    assert scale == pytest.approx(max(1, *(length / side for length in shape)))


def test_every_place_of_the_background_is_as_likely():
    boxes = np.array([one.background_box for one in pastes(height=100, width=150)])
    # A picture of 224 px behind an image of 100 x 150: the views' boxes lie anywhere in it.
    whole = [
        paste_draw(
            PASTE,
            PasteUniforms(0, 0, 0, 0, *uniform, 0),
            shape=(100, 150),
            box=(0, 0, 100, 150),
            flip=False,
            side=224,
        ).background_box
        for uniform in np.random.default_rng(0).random((2000, 2))
    ]
    top, left, _, _ = np.array(whole).T
    assert kstest(top, "uniform", args=(0, 124)).pvalue > 1e-3
    assert kstest(left, "uniform", args=(0, 74)).pvalue > 1e-3
    assert len(np.unique(boxes, axis=0)) == COUNT


def test_a_views_part_lies_in_the_images_part_as_its_box_in_the_image():
    shape, box = (100, 150), (20, 30, 50, 60)
    whole = paste_draw(PASTE, MIDDLE, shape=shape, box=(0, 0, *shape), flip=False, side=50)
    part = paste_draw(PASTE, MIDDLE, shape=shape, box=box, flip=False, side=50)
    top, left = whole.background_box[:2]
    assert part.background_box == pytest.approx((top + 20 / 3, left + 10, 50 / 3, 20))
    mirrored = paste_draw(PASTE, MIDDLE, shape=shape, box=box, flip=True, side=50)
    assert mirrored.background_box == pytest.approx((top + 20 / 3, left + 30, 50 / 3, -20))
