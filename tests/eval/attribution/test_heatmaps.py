"""Maps as pictures: what is black, what is white, and what has no map."""

import math

import numpy as np
import pytest

from dilo.eval.attribution.heatmaps import gray, heat, overlay


def test_gray_runs_from_the_smallest_value_to_the_largest():
    values = np.random.default_rng(0).normal(size=(9, 7)).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    found = gray(values)
    assert found.dtype == np.uint8
    for y in range(9):
        for x in range(7):
            expected = math.floor(255 * ((float(values[y, x]) - low) / (high - low)))
            assert found[y, x] == expected


@pytest.mark.parametrize("value", [3.0, np.nan, np.inf])
def test_a_map_that_is_constant_or_not_finite_is_black(value):
    values = np.full((4, 5), value, np.float32)
    assert not gray(values).any()
    values[0, 0] = np.nan
    assert not gray(values).any()
    assert len(np.unique(heat(values).reshape(-1, 3), axis=0)) == 1


def test_heat_is_lighter_where_a_map_is_larger_and_one_pixel_does_not_hide_the_rest():
    values = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    values[0, 0] = 1000
    light = heat(values)[1].astype(int).sum(axis=1)
    assert (np.diff(light) >= 0).all()
    assert light[-1] - light[0] > 400
    alone = np.zeros((32, 32), np.float32)
    alone[3, 4] = 1
    assert heat(alone)[3, 4].sum() > 400


def test_an_overlay_has_the_maps_colour_and_the_images_light():
    values = np.zeros((8, 8), np.float32)
    values[:, 4:] = 1
    dark, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    for image in (dark, white):
        found = overlay(values, image).astype(int)
        assert found[0, 0, 2] > found[0, 0, 0]  # blue where the map is small
        assert found[0, 7, 0] > found[0, 7, 2]  # red where it is large
    assert (overlay(values, white).astype(int) - overlay(values, dark) > 100).all()
