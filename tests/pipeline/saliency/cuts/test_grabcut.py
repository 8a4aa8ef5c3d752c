"""GrabCut refinement: it finds the object's outline, keeps what it cannot better, repeats."""

import dataclasses
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from dilo.pipeline.saliency.cuts.grabcut import grabcut
from dilo.pipeline.saliency.parameters import GrabCutParameters

PARAMETERS = GrabCutParameters()
ECSSD = Path(__file__).resolve().parents[5] / "shared" / "data" / "ecssd-dev"
SIDE = 80
OBJECT = np.zeros((SIDE, SIDE), bool)
OBJECT[24:56, 20:52] = True


def _picture(seed=0):
    """Draw a bright, noisy object on a dark, noisy ground."""
    noise = np.random.default_rng(seed).normal(0, 12, (SIDE, SIDE, 3))
    color = np.where(OBJECT[..., None], [190, 160, 60], [60, 80, 120])
    return np.clip(color + noise, 0, 255).astype(np.uint8)


def _blurred(mask, sigma=5.0):
    """Blur a mask and stretch it to [0, 1]."""
    blurred = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), sigma)
    return (blurred - blurred.min()) / (blurred.max() - blurred.min())


def _scattered(seed, side=SIDE):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_a_blurred_object_gets_its_outline_back():
    rough = _blurred(OBJECT)
    refined = grabcut(_picture(), rough, PARAMETERS)
    assert np.abs(rough - OBJECT).mean() > 0.07
    assert np.abs(refined - OBJECT).mean() < 0.02
    assert_array_equal(refined > 0.5, OBJECT)


@pytest.mark.parametrize("shift", [(0, 4), (-4, 0), (3, -3)])
def test_a_map_off_its_object_is_drawn_to_it(shift):
    rough = _blurred(np.roll(OBJECT, shift, axis=(0, 1)))
    refined = grabcut(_picture(), rough, PARAMETERS)
    wrong = ((rough > 0.5) != OBJECT).sum()
    assert wrong > 200
    assert ((refined > 0.5) != OBJECT).sum() < wrong / 4


def test_the_result_is_the_same_whatever_opencv_drew_before():
    image, rough = _scattered(1), _blurred(OBJECT)
    expected = grabcut(image, rough, PARAMETERS)
    for seed in (7, 99):
        cv2.setRNGSeed(seed)
        cv2.randu(np.zeros((5, 5)), 0, 1)
        assert_array_equal(grabcut(image, rough, PARAMETERS), expected)
    models = [np.zeros((1, 65)) for _ in range(2)]
    seeds = np.where(OBJECT, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    cv2.grabCut(_scattered(2), seeds, None, *models, 2, cv2.GC_INIT_WITH_MASK)
    assert_array_equal(grabcut(image, rough, PARAMETERS), expected)


def test_image_and_map_are_left_as_they_were():
    image, rough = _picture(), _blurred(OBJECT)
    before = image.copy(), rough.copy()
    grabcut(image, rough, PARAMETERS)
    assert_array_equal(image, before[0])
    assert_array_equal(rough, before[1])


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("side", [1, 2, 3, 81])
def test_a_flat_map_comes_back(side, value):
    rough = np.full((side, side), value)
    assert_array_equal(grabcut(_scattered(0, side), rough, PARAMETERS), rough)


def test_a_flat_image_bears_out_no_map():
    rough = _blurred(OBJECT)
    flat = np.full((SIDE, SIDE, 3), (10, 200, 30), np.uint8)
    assert_array_equal(grabcut(flat, rough, PARAMETERS), rough)


@pytest.mark.parametrize("inverted", [False, True])
def test_too_few_pixels_for_a_color_model_leave_the_map(inverted):
    image = np.full((SIDE, SIDE, 3), 30, np.uint8)
    image[25:31, 25:31] = 220
    rough = np.zeros((SIDE, SIDE))
    rough[24:32, 24:32] = 0.6  # 4 x 4 pixels of the image at half its side
    rough[26:30, 26:30] = 1.0
    rough = 1.0 - rough if inverted else rough
    halved = dataclasses.replace(PARAMETERS, model_side=SIDE // 2)
    assert_array_equal(grabcut(image, rough, halved), rough)
    bold = dataclasses.replace(halved, smallest_model=16)
    assert not np.array_equal(grabcut(image, rough, bold), rough)


@pytest.mark.parametrize("side", [1, 2, 3, 5, 16, 17, 97])
def test_any_side_and_map_give_a_map_of_the_same_range(side):
    rng = np.random.default_rng(side)
    sliver = np.zeros((side, side))
    sliver[:, -1] = 1.0
    for rough in (rng.random((side, side)), sliver, 0.4 * sliver + 0.1, np.eye(side)):
        for image in (_scattered(side, side), (_scattered(side, side) > 127) * np.uint8(255)):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                refined = grabcut(image, rough, PARAMETERS)
            assert refined.shape == rough.shape
            assert refined.dtype == np.float64
            assert (refined.min(), refined.max()) == (rough.min(), rough.max())


def test_a_weak_map_is_refined_as_a_strong_one_and_stays_weak():
    strong = _blurred(OBJECT)
    refined = grabcut(_picture(), 0.1 + 0.2 * strong, PARAMETERS)
    assert_allclose(refined, 0.1 + 0.2 * grabcut(_picture(), strong, PARAMETERS), atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_no_cut_swallows_or_drops_what_the_map_is_sure_of(seed):
    # Colours that say nothing of the map, and parameters that do not mind.
    rng = np.random.default_rng(seed)
    image = np.full((SIDE, SIDE, 3), 60, np.uint8)
    image[rng.random((SIDE, SIDE)) < 0.5] = 200
    rough = np.zeros((SIDE, SIDE))
    rough[10:70, 10:70] = 0.4  # Otsu's threshold lies between this ...
    rough[20:60, 20:60] = 0.6  # ... and this: both unsure
    rough[30:50, 30:50] = 1.0
    refined = grabcut(image, rough, dataclasses.replace(PARAMETERS, told_apart=0.0))
    assert not np.array_equal(refined, rough)
    assert_array_equal(refined[rough == 0.0], 0.0)
    assert_array_equal(refined[rough == 1.0], 1.0)


def test_a_cut_that_loses_the_object_leaves_the_map():
    # All but a core of the object has the ground's own colour, as has what is beside it.
    core = np.zeros((SIDE, SIDE), bool)
    core[36:44, 32:40] = True
    image = np.where(core[..., None], np.uint8(220), np.full((SIDE, SIDE, 3), 30, np.uint8))
    rough = np.where(core, 1.0, np.where(OBJECT, 0.6, 0.0))
    rough[24:56, 52:60] = 0.25
    assert_array_equal(grabcut(image, rough, PARAMETERS), rough)
    assert not np.array_equal(grabcut(_picture(), rough, PARAMETERS), rough)


def test_a_cut_that_swallows_the_surroundings_leaves_the_map():
    # A wide ring round the object has the object's own colour.
    ring = np.zeros((SIDE, SIDE), bool)
    ring[14:66, 10:62] = True
    image = np.where(ring[..., None], np.uint8(220), np.full((SIDE, SIDE, 3), 30, np.uint8))
    rough = np.where(OBJECT, 1.0, np.where(ring, 0.4, 0.0))
    assert_array_equal(grabcut(image, rough, PARAMETERS), rough)
    assert not np.array_equal(grabcut(_picture(), rough, PARAMETERS), rough)


def test_a_map_that_is_sure_of_every_pixel_comes_back():
    rough = np.where(OBJECT, 0.9, 0.1)
    rough[OBJECT & np.roll(OBJECT, 9, axis=1)] = 1.0
    rough[:5] = 0.0
    assert_array_equal(grabcut(_picture(), rough, PARAMETERS), rough)


def test_a_mirrored_image_gives_the_mirrored_map():
    image, rough = _picture(), _blurred(np.roll(OBJECT, 3, axis=1))
    refined = grabcut(image, rough, PARAMETERS)
    mirrored = grabcut(np.ascontiguousarray(image[:, ::-1]), rough[:, ::-1].copy(), PARAMETERS)
    assert (np.abs(mirrored[:, ::-1] - refined) > 0.1).mean() < 0.01


def _squashed(path):
    with Image.open(path) as opened:
        mode = "RGB" if path.suffix == ".jpg" else "L"
        return np.asarray(opened.convert(mode).resize((160, 160), Image.Resampling.BILINEAR))


@pytest.mark.skipif(not ECSSD.is_dir(), reason="needs ECSSD's images beside the repository")
@pytest.mark.parametrize("method", ["rbd", "mc", "gs"])
def test_real_maps_come_closer_to_the_truth(method):
    gains = []
    for path in sorted((ECSSD / "images").iterdir())[::16]:
        name = f"{path.stem}.png"
        truth = _squashed(ECSSD / "masks" / name) > 127
        rough = _squashed(ECSSD / "oracle" / method / name) / 255.0
        refined = grabcut(_squashed(path), rough, PARAMETERS)
        gains.append(np.abs(rough - truth).mean() - np.abs(refined - truth).mean())
    assert len(gains) == 13
    assert np.mean(gains) > 0.01


ROWS, COLUMNS = np.indices((SIDE, SIDE))
NO_EVIDENCE = {
    "noise": np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
    "gray-noise": np.random.default_rng(2).integers(90, 160, (SIDE, SIDE, 1), dtype=np.uint8),
    "checker": (200 * ((ROWS // 5 + COLUMNS // 5) % 2)).astype(np.uint8)[..., None],
    "stripes": (20 * (ROWS % 10)).astype(np.uint8)[..., None],
}


@pytest.mark.parametrize("image", NO_EVIDENCE.values(), ids=NO_EVIDENCE.keys())
def test_an_image_whose_colours_tell_nothing_leaves_the_map(image):
    image = np.ascontiguousarray(np.broadcast_to(image, (SIDE, SIDE, 3)))
    rough = _blurred(OBJECT)
    assert_array_equal(grabcut(image, rough, PARAMETERS), rough)
    trusting = dataclasses.replace(PARAMETERS, told_apart=0.0)
    assert not np.array_equal(grabcut(_picture(), rough, trusting), rough)
    assert_array_equal(grabcut(_picture(), rough, trusting), grabcut(_picture(), rough, PARAMETERS))


def test_what_opencv_would_stumble_over_is_refused():
    for name, value in (("certain", -1.0), ("model_side", 0), ("told_apart", np.nan)):
        with pytest.raises(ValueError, match=f"{name} must be at least"):
            dataclasses.replace(PARAMETERS, **{name: value})
