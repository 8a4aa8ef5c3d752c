"""All measures together: preparation, refusals, and PySODMetrics' figures."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from numpy.testing import assert_allclose
from PIL import Image
from support.golden import golden_arrays
from support.maps import masks_and_truths

from dilo.eval.saliency.measures import TRUTH_ABOVE, measure, normalised

ECSSD = Path(__file__).resolve().parents[4] / "shared" / "data" / "ecssd-dev"
METRICS = ("adaptive_f", "adaptive_e", "mae", "s_measure", "weighted_f")
CURVES = ("precision", "recall", "f", "e")
needs_ecssd = pytest.mark.skipif(not ECSSD.is_dir(), reason="needs ECSSD beside the checkout")


@pytest.mark.parametrize("number", range(14))
def test_drawn_maps_score_what_pysodmetrics_says(number):
    golden = golden_arrays("sod-small")
    found = measure(golden[f"{number}/mask"], golden[f"{number}/truth"] > TRUTH_ABOVE)
    for name in (*CURVES, *METRICS):
        assert_allclose(getattr(found, name), golden[f"{number}/{name}"], atol=1e-9, err_msg=name)


def test_every_drawn_map_is_compared():
    assert max(int(name.partition("/")[0]) for name in golden_arrays("sod-small")) == 13


@needs_ecssd
@pytest.mark.parametrize("method", ["rbd", "gs", "mc"])
def test_released_maps_of_ecssd_score_what_pysodmetrics_says(method):
    golden = golden_arrays("sod-ecssd")
    for row in range(0, len(golden["images"]), 10):
        name = f"{golden['images'][row]}.png"
        found = measure(
            np.asarray(Image.open(ECSSD / "oracle" / method / name)),
            np.asarray(Image.open(ECSSD / "masks" / name)) > TRUTH_ABOVE,
        )
        for number in METRICS:
            expected = golden[f"{method}/{number}"][row]
            assert_allclose(getattr(found, number), expected, atol=1e-6, err_msg=number)
        for curve in ("f", "e"):
            values = getattr(found, curve)
            assert_allclose(values.max(), golden[f"{method}/{curve}/max"][row], atol=1e-6)
            assert_allclose(values.mean(), golden[f"{method}/{curve}/mean"][row], atol=1e-6)


@given(masks_and_truths())
def test_every_number_is_finite_and_between_0_and_1(pair):
    found = measure(*pair)
    for name in ("precision", "recall", "f", "adaptive_f", "iou", "mae", "s_measure", "weighted_f"):
        values = np.asarray(getattr(found, name))
        assert np.all((values >= -1e-12) & (values <= 1 + 1e-12)), name
    # Divided by the pixels less one, E passes 1 by as much.
    most = 1 if pair[1].size == 1 else pair[1].size / (pair[1].size - 1)
    for values in (found.e, np.asarray(found.adaptive_e)):
        assert np.all((values >= 0) & (values <= most + 1e-12))


@given(masks_and_truths())
def test_contrast_and_brightness_of_a_mask_change_nothing(pair):
    mask, truth = pair
    bright = mask > 127
    assume(bright.any() and not bright.all())
    pale = measure(np.where(bright, 200, 100).astype(np.uint8), truth)
    full = measure(np.where(bright, 255, 0).astype(np.uint8), truth)
    for name in (*CURVES, *METRICS):
        assert_allclose(getattr(pale, name), getattr(full, name), err_msg=name)


def test_the_object_itself_is_a_perfect_mask():
    truth = np.zeros((20, 30), bool)
    truth[5:12, 8:20] = True
    found = measure(np.where(truth, 255, 0).astype(np.uint8), truth)
    assert_allclose(found.f[1:], 1)
    assert found.precision[0] == pytest.approx(truth.mean())  # at threshold 0 all is found
    assert found.e[1:] == pytest.approx(600 / 599)
    assert (found.adaptive_f, found.mae, found.weighted_f) == pytest.approx((1, 0, 1))
    assert found.s_measure == pytest.approx(1)


def test_the_background_is_the_worst_mask():
    truth = np.zeros((20, 30), bool)
    truth[5:12, 8:20] = True
    found = measure(np.where(truth, 0, 255).astype(np.uint8), truth)
    assert_allclose(found.f[1:], 0)
    assert_allclose(found.e[1:], 0, atol=1e-12)
    assert found.mae == 1
    assert (found.adaptive_f, found.adaptive_e) == pytest.approx((0, 0))
    assert (found.s_measure, found.weighted_f) == pytest.approx((0, 0))


def test_iou_is_of_the_mask_cut_at_one_half():
    truth = np.array([[True, True, False, False]])
    mask = np.array([[255, 127, 128, 0]], np.uint8)  # of 0 to 255, 128 is the first above one half
    assert measure(mask, truth).iou == pytest.approx(1 / 3)
    assert measure(np.where(truth, 255, 0).astype(np.uint8), truth).iou == 1
    assert measure(np.where(truth, 0, 255).astype(np.uint8), truth).iou == 0


@pytest.mark.parametrize(("value", "expected"), [(0, 0.0), (51, 0.2), (255, 1.0)])
def test_a_mask_of_one_value_keeps_it(value, expected):
    assert_allclose(normalised(np.full((2, 3), value, np.uint8)), expected)


def test_an_image_of_one_pixel_is_scored():
    white, black = np.full((1, 1), 255, np.uint8), np.zeros((1, 1), np.uint8)
    yes, no = np.ones((1, 1), bool), np.zeros((1, 1), bool)
    right, wrong = measure(white, yes), measure(black, yes)
    assert (right.mae, right.s_measure, right.e[255]) == (0, 1, 1)
    assert right.weighted_f == pytest.approx(1)
    # Weighted F is high even here: by its definition there is no error beyond the border.
    assert (wrong.mae, wrong.s_measure, wrong.e[255]) == (1, 0, 0)
    nothing = measure(black, no)
    assert (nothing.mae, nothing.s_measure, nothing.weighted_f, nothing.e[255]) == (0, 1, 0, 1)
    assert (right.iou, wrong.iou, nothing.iou) == (1, 0, 1)


@pytest.mark.parametrize(
    ("mask", "truth"),
    [
        pytest.param((2, 3), (3, 2), id="turned"),
        pytest.param((2, 3, 3), (2, 3, 3), id="colour"),
        pytest.param((0, 3), (0, 3), id="no-pixel"),
    ],
)
def test_shapes_that_do_not_fit_are_named(mask, truth):
    words = f"must have the shape (H, W) of truth, with pixels, got {mask} and {truth}"
    with pytest.raises(ValueError, match=re.escape(words)):
        measure(np.zeros(mask, np.uint8), np.zeros(truth, bool))
