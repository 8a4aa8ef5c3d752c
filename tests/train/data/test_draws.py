"""Draws: pure functions of their key, each parameter alone, in the proportions asked for."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chisquare, kstest
from torchvision.transforms import RandomResizedCrop

from dilo.pipeline.common.rng import generator
from dilo.train.data.draws import (
    VIEW,
    _random_box,
    bank_draw,
    key_shuffle,
    negatives_seed,
    noise_draw,
    sample_order,
    view_draw,
)
from dilo.train.recipes.recipe import BackgroundsRecipe, PasteRecipe, ViewsRecipe

#: MoCo v2's, where every kind of draw occurs.
VIEWS = ViewsRecipe(
    order=("jitter", "gray", "blur"), jitter=0.8, jitter_strength=(0.4, 0.4, 0.4, 0.1)
)
PASTE = PasteRecipe()
ALWAYS = PasteRecipe(probability=1.0)
KEY = {"seed": 1, "epoch": 2, "sample": 3, "view": 1}
COUNT = 10_000
GOLDEN = {
    "box": (18, 54, 211, 232),
    "order": (0, 3, 1, 2),
    "factors": [1.1380628557437733, -0.03285525838584631],
    "samples": [2, 1, 4, 5, 0, 3],
    "keys": [5, 1, 0, 4, 2, 3],
    "negatives": [5391287268206239972, 9189153872633173229],
}


def draw(views=VIEWS, paste=PASTE, height=300, width=400, **key):
    return view_draw(views, paste, height=height, width=width, **(KEY | key))


def flat(drawn):
    """Name all parameters of a view that is pasted."""
    values = dataclasses.asdict(drawn)
    return values | values.pop("paste")


def column(draws, name):
    return np.array([getattr(one, name) for one in draws])


@pytest.fixture(scope="module")
def views():
    """Both views of many samples."""
    return [[draw(sample=sample, view=view) for sample in range(COUNT)] for view in (0, 1)]


def assert_share(values, expected):
    """Five standard errors: the draws are fixed, so this fails for good or never."""
    assert abs(np.mean(values) - expected) < 5 * math.sqrt(expected * (1 - expected) / len(values))


def test_a_draw_depends_on_its_key_alone():
    first = draw()
    np.random.seed(0)  # noqa: NPY002  # the global state is what must not matter
    torch.manual_seed(0)
    draw(sample=99)
    assert draw() == first


@pytest.mark.parametrize("part", KEY)
def test_every_part_of_the_key_counts(part):
    assert draw(**{part: KEY[part] + 1}) != draw()


def test_keys_with_the_same_sum_differ():
    assert draw(seed=1, epoch=2) != draw(seed=2, epoch=1)
    assert draw(sample=0, view=1) != draw(sample=1, view=0)


def test_a_large_seed_is_as_good_as_a_small_one():
    assert draw(seed=2**64 - 1) != draw(seed=2**64 - 2)


def test_a_draw_is_what_it_was_in_earlier_releases():
    # Written down when first drawn: a change makes old runs unrepeatable.
    one = draw()
    assert one.box == GOLDEN["box"]
    assert one.order == GOLDEN["order"]
    assert_allclose([one.brightness, one.hue], GOLDEN["factors"], rtol=1e-12)
    assert sample_order(1, 2, 6).tolist() == GOLDEN["samples"]
    assert key_shuffle(1, 2, 6).tolist() == GOLDEN["keys"]
    assert [negatives_seed(1, 2), negatives_seed(1, 2, part=3)] == GOLDEN["negatives"]


def test_negatives_of_each_seed_step_and_part_start_elsewhere():
    keys = [(seed, step, part) for seed in (0, 2**64 - 1) for step in range(3) for part in range(3)]
    seeds = {negatives_seed(*key) for key in keys}
    assert len(seeds) == len(keys)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("recipe", "field", "value", "changed"),
    [
        # What is seen of the background follows the view.
        (VIEWS, "flip", 0.9, {"flip", "background_box"}),
        (VIEWS, "jitter", 0.1, {"jitter"}),
        (VIEWS, "gray", 0.9, {"gray"}),
        (VIEWS, "blur", 0.9, {"blur_sigma"}),
        (VIEWS, "order", ("gray", "jitter"), {"blur_sigma"}),
        (VIEWS, "jitter_strength", (0.4, 0.4, 0.4, 0.4), {"hue"}),
        (VIEWS, "crop_scale", (0.5, 1.0), {"box", "background_box"}),
        (ALWAYS, "blend", "gaussian", {"blend_sigma"}),
        (ALWAYS, "blend_sigma", 2.0, {"blend_sigma"}),
        (ALWAYS, "backgrounds", BackgroundsRecipe(gray=1.0, noise=1.0), {"kind"}),
    ],
)
def test_a_changed_setting_changes_its_own_parameter_only(recipe, field, value, changed):
    other = dataclasses.replace(recipe, **{field: value})
    pasting = (VIEWS, ALWAYS)
    recipes = (other, ALWAYS) if recipe is VIEWS else (VIEWS, other)
    seen = set()
    for sample in range(60):
        before, after = flat(draw(*pasting, sample=sample)), flat(draw(*recipes, sample=sample))
        seen |= {name for name in before if before[name] != after[name]}
    assert seen == changed


@pytest.mark.parametrize(
    ("late", "without"),
    [
        (PasteRecipe(probability=0.7, from_epoch=3), lambda key: key["epoch"] < 3),
        (PasteRecipe(probability=0.7, views="query"), lambda key: key["view"] > 0),
    ],
    ids=["from epoch 3", "on the query"],
)
def test_views_without_pastes_are_those_of_probability_0_and_the_others_as_before(late, without):
    always = PasteRecipe(probability=0.7)
    pasted = set()
    for epoch, view, sample in itertools.product(range(5), (0, 1), range(12)):
        key = {"epoch": epoch, "view": view, "sample": sample}
        one, usual = draw(paste=late, **key), draw(paste=always, **key)
        none = draw(paste=PasteRecipe(probability=0.0), **key)
        assert one == (none if without(key) else usual)
        pasted.add((without(key), usual.paste is not None))
    assert len(pasted) == 4


def share_of_corner(box):
    """Measure how much a box shows of an object in the upper left 60 x 60 of an image."""
    down, across = (max(0, 60 - start) for start in box[:2])
    return min(down, box[2]) * min(across, box[3]) / 3600


def test_a_crop_that_must_show_the_object_is_the_first_of_ten_that_does_or_the_best():
    views, tried = dataclasses.replace(VIEWS, min_object=0.5), []
    for sample in range(300):
        numbers = generator(1, VIEW, 1, sample, 2)
        numbers.random(39)  # of all else
        boxes = [draw(sample=sample).box]
        while len(boxes) < 10:
            *shapes, top, left = numbers.random(22).tolist()
            boxes.append(_random_box(shapes, top, left, VIEWS.crop_scale, 300, 400))
        shares = [share_of_corner(box) for box in boxes]
        enough = [share >= 0.5 for share in shares]
        place = enough.index(True) if any(enough) else shares.index(max(shares))
        tried.append(place if any(enough) else None)
        assert draw(views, sample=sample, object_share=share_of_corner).box == boxes[place]
    assert {None, 0, 1, 9} <= set(tried)


def test_a_crop_that_must_show_the_object_changes_what_hangs_on_the_box_alone():
    views, seen = dataclasses.replace(VIEWS, min_object=0.5), set()
    for sample in range(60):
        before = flat(draw(paste=ALWAYS, sample=sample))
        assert flat(draw(views, ALWAYS, sample=sample)) == before  # an image without a mask
        after = flat(draw(views, ALWAYS, sample=sample, object_share=share_of_corner))
        seen |= {name for name in before if before[name] != after[name]}
        assert draw(sample=sample, object_share=share_of_corner) == draw(sample=sample)
    assert seen == {"box", "background_box"}


def test_a_changed_probability_changes_nothing_of_those_that_are_pasted_anyway():
    often = dataclasses.replace(PASTE, probability=0.9)
    pairs = [(draw(sample=sample), draw(paste=often, sample=sample)) for sample in range(60)]
    assert all(one == other for one, other in pairs if one.paste)
    rest = [(one, other) for one, other in pairs if not one.paste and other.paste]
    assert all(dataclasses.replace(other, paste=None) == one for one, other in rest)
    assert len(rest) > 20


def test_what_is_not_in_the_order_of_colours_is_not_drawn():
    bare = dataclasses.replace(VIEWS, order=())
    draws = [draw(bare, sample=sample) for sample in range(50)]
    assert not any(one.jitter or one.gray or one.blur_sigma for one in draws)


def test_pastes_come_in_the_authors_proportions(views):
    first, second = (column(draws, "paste") != None for draws in views)  # noqa: E711
    assert_share(first, 0.3)
    assert_share(~first & ~second, 0.49)
    assert_share(first & ~second | ~first & second, 0.42)
    assert_share(first & second, 0.09)


def test_the_bank_of_an_epoch_is_drawn_by_its_key_alone():
    rows, places = bank_draw(1, 2, 3, 50, 20)
    assert_array_equal(rows, bank_draw(1, 2, 3, 50, 20)[0])
    assert len(set(rows.tolist())) == 20
    assert set(rows.tolist()) <= set(range(50))
    assert ((places >= 0) & (places < 1)).all()
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert rows.tolist() != bank_draw(*other, 50, 20)[0].tolist()


def test_the_bank_takes_every_row_as_often():
    rows = np.concatenate([bank_draw(0, epoch, 1, 20, 5)[0] for epoch in range(2000)])
    assert chisquare(np.bincount(rows, minlength=20)).pvalue > 1e-3


def test_noise_is_even_over_all_levels_and_another_one_each_epoch():
    noise = noise_draw(1, 2, 4, 7, 37)
    assert noise.shape == (7, 3, 37, 37)
    assert noise.dtype == np.uint8
    assert chisquare(np.bincount(noise.ravel(), minlength=256)).pvalue > 1e-3
    assert_array_equal(noise, noise_draw(1, 2, 4, 7, 37))
    assert (noise != noise_draw(1, 3, 4, 7, 37)).mean() > 0.99


@pytest.mark.parametrize(
    ("name", "share"), [("flip", 0.5), ("jitter", 0.8), ("gray", 0.2), ("blur_sigma", 0.5)]
)
def test_augmentations_come_in_the_recipes_proportions(views, name, share):
    assert_share(column(views[0], name) != 0, share)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("brightness", 0.6, 1.4),
        ("contrast", 0.6, 1.4),
        ("saturation", 0.6, 1.4),
        ("hue", -0.1, 0.1),
        ("blur_sigma", 0.1, 2.0),
    ],
)
def test_factors_are_uniform_on_their_range(views, name, low, high):
    values = column(views[0], name)
    if name == "blur_sigma":
        values = values[values > 0]
    assert kstest(values, "uniform", args=(low, high - low)).pvalue > 1e-3


def test_no_factor_is_negative_however_strong_the_jitter():
    strong = dataclasses.replace(VIEWS, jitter_strength=(3.0, 3.0, 3.0, 0.5))
    draws = [draw(strong, sample=sample) for sample in range(200)]
    assert column(draws, "brightness").min() >= 0
    assert column(draws, "brightness").max() > 3


def test_every_order_of_the_jitter_is_as_likely(views):
    counts = np.unique(column(views[0], "order"), axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert chisquare(counts).pvalue > 1e-3


@given(
    st.integers(1, 900),
    st.integers(1, 900),
    st.floats(0.01, 1),
    st.integers(0, 2**64 - 1),
)
@settings(deadline=None)
def test_a_box_lies_in_the_image_whatever_its_size(height, width, low, seed):
    views = dataclasses.replace(VIEWS, crop_scale=(low, 1.0))
    top, left, h, w = draw(views, height=height, width=width, seed=seed).box
    assert 0 <= top <= top + h <= height
    assert 0 <= left <= left + w <= width
    assert h > 0
    assert w > 0


def test_boxes_keep_to_the_ranges_of_area_and_ratio(views):
    for _, _, h, w in column(views[0], "box"):
        # Rounding moves a side by half a pixel.
        assert 0.2 * 300 * 400 - (h + w) < h * w <= 300 * 400
        assert 3 / 4 * (h - 0.5) - 0.5 <= w <= 4 / 3 * (h + 0.5) + 0.5


def test_boxes_reach_the_last_pixel_as_often_as_the_first():
    boxes = column([draw(height=9, width=9, sample=sample) for sample in range(2000)], "box")
    boxes = boxes[(boxes[:, 2] < 9) & (boxes[:, 3] < 9)]
    for start, length in ((boxes[:, 0], boxes[:, 2]), (boxes[:, 1], boxes[:, 3])):
        ends = [(start == 0).sum(), (start + length == 9).sum()]
        assert chisquare(ends).pvalue > 1e-3


@pytest.mark.parametrize(
    ("size", "box"),
    [((3, 900), (0, 448, 3, 4)), ((900, 3), (448, 0, 4, 3)), ((1, 1), (0, 0, 1, 1))],
)
def test_where_no_box_fits_the_middle_is_taken_as_torchvision_does(size, box):
    whole = dataclasses.replace(VIEWS, crop_scale=(1.0, 1.0))
    assert draw(whole, height=size[0], width=size[1]).box == box
    params = RandomResizedCrop.get_params(torch.zeros(3, *size), [1.0, 1.0], [3 / 4, 4 / 3])
    assert params == box


def test_boxes_are_spread_as_torchvision_spreads_them(views):
    state = torch.get_rng_state()
    torch.manual_seed(0)
    image = torch.zeros(3, 300, 400)
    theirs = [RandomResizedCrop.get_params(image, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(2500)]
    torch.set_rng_state(state)
    boxes = column(views[0], "box")
    for ours, reference in zip(boxes.T, np.array(theirs).T, strict=True):
        assert kstest(ours, reference).pvalue > 1e-3


@given(st.integers(0, 2**63), st.integers(0, 1000), st.integers(0, 300))
@settings(deadline=None)
def test_orders_are_permutations(seed, epoch, count):
    for order in (sample_order(seed, epoch, count), key_shuffle(seed, epoch, count)):
        assert order.dtype == np.int64
        assert_array_equal(np.sort(order), np.arange(count))


def test_orders_of_other_epochs_seeds_and_uses_differ():
    orders = [
        sample_order(1, 2, 100),
        sample_order(2, 1, 100),
        sample_order(1, 1, 100),
        key_shuffle(1, 2, 100),
        key_shuffle(1, 1, 100),
    ]
    assert len({tuple(order) for order in orders}) == len(orders)
    assert_array_equal(sample_order(1, 2, 100), orders[0])


def test_an_order_puts_every_sample_everywhere_as_often():
    first = [sample_order(0, epoch, 10)[0] for epoch in range(3000)]
    assert chisquare(np.bincount(first, minlength=10)).pvalue > 1e-3
