"""Superpixels: what is measured of each, one at a time; where they lie in a square image."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from skimage import data
from support.graphs import load_golden, segmented_pictures

from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency.classical.frame import inside_frame
from dilo.pipeline.saliency.classical.gs import gs
from dilo.pipeline.saliency.classical.mc import mc
from dilo.pipeline.saliency.classical.rbd import rbd
from dilo.pipeline.saliency.classical.slic import slic
from dilo.pipeline.saliency.classical.superpixels import describe, segment
from dilo.pipeline.saliency.parameters import (
    GsParameters,
    McParameters,
    RbdParameters,
    SuperpixelParameters,
)

PARAMETERS = SuperpixelParameters()
REFERENCE = SuperpixelParameters(segmentation="scikit-image")
both = pytest.mark.parametrize("parameters", [PARAMETERS, REFERENCE], ids=["ours", "scikit-image"])


@given(segmented_pictures(), st.integers(1, 4))
def test_each_superpixel_is_measured_as_its_pixels_one_by_one(picture, band):
    image, labels = picture
    height, width = labels.shape
    found = describe(image, labels)
    assert len(found) == labels.max() + 1
    assert found.labels is labels
    boundary = found.on_boundary(band)
    for label in range(labels.max() + 1):
        pixels = [(r, c) for r in range(height) for c in range(width) if labels[r, c] == label]
        rgb = np.mean([image[p] / 255 for p in pixels], axis=0)
        assert_allclose(found.rgb[label], rgb, rtol=1e-12)
        rows, columns = zip(*pixels, strict=True)
        expected = (np.mean(rows) + 1) / height, (np.mean(columns) + 1) / width
        assert_allclose(found.position[label], expected, rtol=1e-12)
        assert boundary[label] == any(
            min(r, c, height - 1 - r, width - 1 - c) < band for r, c in pixels
        )


@pytest.mark.parametrize("number", ["0450", "0850"])
def test_position_and_boundary_are_those_of_the_release(number):
    golden = load_golden(number)
    assert_allclose(golden.superpixels.position, golden.values["meanPos"], atol=1e-12)
    boundary = np.flatnonzero(golden.superpixels.on_boundary(8)) + 1
    assert_array_equal(boundary, np.sort(golden.values["bdIds"]))


def test_a_colour_is_the_same_however_large_its_superpixel():
    image = np.full((7, 11, 3), (1, 129, 254), np.uint8)
    labels = np.zeros((7, 11), np.int32)
    labels[0, :3], labels[5:] = 1, 2
    assert_array_equal(describe(image, labels).rgb, np.array([[1, 129, 254]] * 3) / 255)


def _framed(side=160):
    image = np.zeros((side, side, 3), np.uint8)
    image[4:-6, 8:-5] = (200, 180, 150)
    image[60:100, 50:90] = (150, 170, 200)
    return image


@both
def test_the_picture_inside_a_frame_is_divided_and_painted_where_it_lies(parameters):
    image = _framed()
    rows, columns = inside_frame(image, parameters)
    found = segment(image, parameters)
    assert found.side == 160
    assert found.inside == (rows, columns) != (slice(0, 160), slice(0, 160))
    labels = found.superpixels.labels
    assert labels.shape == image[rows, columns].shape[:2]
    values = np.arange(1.0, len(found.superpixels) + 1)
    painted = found.paint(values)
    assert_array_equal(painted[rows, columns], labels + 1)
    painted[rows, columns] = 0
    assert painted.max() == 0


@both
def test_without_a_frame_the_whole_is_painted(parameters):
    found = segment(squash(data.chelsea(), 160), parameters)
    values = np.arange(float(len(found.superpixels)))
    assert_array_equal(found.paint(values), found.superpixels.labels)


def test_each_parameter_reaches_the_division():
    image = squash(data.chelsea(), 160)
    parameters = SuperpixelParameters(
        superpixels=90, compactness=9.0, iterations=2, smallest_superpixel=0.5
    )
    expected = slic(image, count=90, compactness=9.0, iterations=2, smallest=0.5)
    assert_array_equal(segment(image, parameters).superpixels.labels, expected)


def test_a_picture_inside_a_frame_gets_its_share_of_superpixels():
    image = _framed()
    rows, columns = inside_frame(image, PARAMETERS)
    share = (rows.stop - rows.start) * (columns.stop - columns.start) / 160**2
    expected = slic(
        np.ascontiguousarray(image[rows, columns]),
        count=int(250 * share + 0.5),
        compactness=20.0,
        iterations=3,
        smallest=0.25,
    )
    assert_array_equal(segment(image, PARAMETERS).superpixels.labels, expected)


@both
@pytest.mark.parametrize("side", [1, 2, 3, 7, 30])
def test_any_side_is_divided_into_connected_superpixels(parameters, side):
    rng = np.random.default_rng(side)
    for image in (
        rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
        np.full((side, side, 3), 200, np.uint8),
    ):
        labels = segment(image, parameters).superpixels.labels
        assert labels.dtype == np.int32
        assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
        for label in range(labels.max() + 1):
            assert ndimage.label(labels == label)[1] == 1


@both
def test_noise_that_nobody_sees_does_not_break_up_a_plain_picture(parameters):
    rng = np.random.default_rng(0)
    image = np.full((100, 100, 3), 120, np.uint8)
    image += rng.integers(0, 3, image.shape, dtype=np.uint8)
    asked = dataclasses.replace(parameters, superpixels=25, iterations=10)
    assert 20 <= len(segment(image, asked).superpixels) <= 30


@pytest.mark.parametrize("photograph", ["astronaut", "chelsea", "coffee", "rocket"])
@pytest.mark.parametrize(
    ("method", "parameters"),
    [(rbd, RbdParameters()), (gs, GsParameters()), (mc, McParameters())],
    ids=["rbd", "gs", "mc"],
)
def test_masks_are_like_those_by_the_slow_division(photograph, method, parameters):
    image = squash(getattr(data, photograph)(), parameters.side)
    slow = dataclasses.replace(parameters, segmentation="scikit-image")
    found, expected = method(image, parameters), method(image, slow)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.8
