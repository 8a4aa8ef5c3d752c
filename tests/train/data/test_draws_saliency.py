"""The part of an image that is seen: a function of its key, as the authors draw it."""

import pytest

from dilo.train.data.draws import window_draw
from dilo.train.recipes.saliency_recipe import DataRecipe


def drawn(data, count=400, **key):
    return [
        window_draw(data, seed=key.get("seed", 0), epoch=key.get("epoch", 0), sample=sample)
        for sample in range(count)
    ]


def test_basnet_sees_224_of_256_pixels_from_0_to_31_on():
    windows = drawn(DataRecipe(), 2000)
    assert {window.side for window in windows} == {256}
    assert {window.top for window in windows} == set(range(32))
    assert {window.left for window in windows} == set(range(32))


def test_a_zoom_squashes_to_more_pixels_but_never_to_fewer_than_the_crop():
    sides = [w.side for w in drawn(DataRecipe(size=128, crop=112, scale=(0.5, 2.0)))]
    assert min(sides) == 112  # 128 / 2 would not hold the crop
    assert 240 < max(sides) <= 256
    for window in drawn(DataRecipe(size=128, crop=112, scale=(0.5, 2.0))):
        assert 0 <= window.top <= window.side - 112
        assert 0 <= window.left <= window.side - 112


def test_a_draw_is_a_function_of_seed_epoch_and_sample():
    data = DataRecipe(scale=(0.5, 1.0))
    assert drawn(data) == drawn(data)
    assert drawn(data) != drawn(data, seed=1)
    assert drawn(data) != drawn(data, epoch=1)
    assert len(set(drawn(data))) > 390


@pytest.mark.parametrize("crop", [256])
def test_a_crop_of_all_of_it_begins_at_its_corner(crop):
    assert {(w.top, w.left) for w in drawn(DataRecipe(crop=crop))} == {(0, 0)}
