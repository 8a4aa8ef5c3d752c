"""The contract of every saliency method, and of `saliency`, which runs them."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from skimage import data

from dilo.pipeline.saliency import METHODS, method_parameters, saliency

RNG = np.random.default_rng(0)
methods = pytest.mark.parametrize("method", sorted(METHODS))


def _plain(color, shape=(50, 60)):
    return np.full((*shape, 3), color, np.uint8)


def _halves():
    image = _plain(30, (100, 120))
    image[:, 60:] = 200
    return image


def _square(shape=(100, 120), pixels=slice(30, 70)):
    image = _plain(30, shape)
    image[pixels, pixels] = (200, 50, 50)
    return image


NOTHING = {
    "gray": _plain(77),
    "black": _plain(0),
    "white": _plain(255),
    "colour": _plain((255, 3, 17)),
    "one-pixel": _plain(9, (1, 1)),
}
ODD = {
    "halves": _halves(),
    "square": _square(),
    "square-unresized": _square((224, 224)),
    "dot": _square(pixels=slice(50, 51)),
    "wide": RNG.integers(0, 256, (3, 900, 3), dtype=np.uint8),
    "tall": RNG.integers(0, 256, (900, 3, 3), dtype=np.uint8),
    "noise": RNG.integers(0, 256, (150, 200, 3), dtype=np.uint8),
    "faint-noise": RNG.integers(100, 103, (150, 200, 3), dtype=np.uint8),
    "gray-noise": np.repeat(RNG.integers(0, 256, (90, 80, 1), dtype=np.uint8), 3, axis=2),
    "read-only-view": np.broadcast_to(_square()[:, :1], (100, 120, 3))[::-1],
}
images = pytest.mark.parametrize(
    "image", [pytest.param(image, id=name) for name, image in (NOTHING | ODD).items()]
)


@methods
@images
def test_any_image_has_a_mask_and_always_the_same(method, image):
    before = image.copy()
    mask = saliency(image, method)
    assert mask.shape == (224, 224)
    assert mask.dtype == np.uint8
    assert_array_equal(mask, saliency(image.copy(), method))
    assert_array_equal(image, before)


@methods
@images
@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_a_mask_may_be_small(method, image, size):
    assert saliency(image, method, size=size).shape == (size, size)


@methods
@given(
    arrays(np.uint8, st.tuples(*[st.integers(1, 30)] * 2, st.just(3)), elements=st.integers(0, 255))
)
@settings(max_examples=40, deadline=None)
def test_no_image_fails_or_warns(method, image):
    assert saliency(image, method, size=48).shape == (48, 48)


@methods
@pytest.mark.parametrize("image", [pytest.param(i, id=name) for name, i in NOTHING.items()])
def test_nothing_is_salient_in_one_colour(method, image):
    assert saliency(image, method).max() == 0


@methods
def test_a_method_gives_values_from_nought_to_one(method):
    values = METHODS[method](data.chelsea()[:224, :224].copy())
    assert values.dtype == np.float64
    assert values.shape == (224, 224)
    assert (values.min(), values.max()) == pytest.approx((0, 1))


@methods
def test_an_object_is_more_salient_than_the_ground_it_lies_on(method):
    mask = saliency(_square((150, 150), slice(50, 100)), method)
    assert mask[90:134, 90:134].mean() > 200
    assert mask[:40].mean() < 40


@methods
def test_a_frame_round_a_picture_is_not_salient(method):
    picture = data.chelsea()[:290, :440]
    framed = np.zeros((300, 450, 3), np.uint8)
    framed[5:-5, 5:-5] = picture
    mask = saliency(framed, method)
    edge = np.concatenate([mask[:3].ravel(), mask[-3:].ravel()])
    assert edge.max() == 0
    inner = saliency(picture, method).astype(float)
    assert np.corrcoef(mask[6:-6, 6:-6].ravel(), inner[6:-6, 6:-6].ravel())[0, 1] > 0.7


@methods
def test_parameters_are_frozen_and_survive_json(method):
    parameters = METHODS[method].parameters
    found = method_parameters(method)
    assert json.loads(json.dumps(found)) == found
    assert list(found) == [field.name for field in dataclasses.fields(parameters)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(parameters, next(iter(found)), 1)


CHANGES = {
    "frame_reach": 0.01,
    "frame_density": 0.999,
    "frame_edge": 1000.0,
    "superpixels": 60,
    "compactness": 5.0,
    "smallest_superpixel": 1.0,
    "boundary_band": 0.1,
    "top_pairs": 0.5,
    "geodesic_sigma": (1.0, 2.0),
    "neighbor_sigma": 1.0,
    "connectivity_sigma": 3.0,
    "certain_connectivity": 1.0,
    "certain_weight": 0.0,
    "position_sigma": 0.1,
    "background_factor": 1.0,
    "adjacency_weight": 1.0,
}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(METHODS["rbd"].parameters)])
def test_every_parameter_of_rbd_changes_a_mask(field):
    image = np.zeros((224, 224, 3), np.uint8)
    image[4:-4, 4:-4] = data.rocket()[:216, :216]
    method = METHODS["rbd"]
    changed = dataclasses.replace(method.parameters, **{field: CHANGES[field]})
    assert not np.array_equal(method(image), method.function(image, changed))


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        pytest.param(np.zeros((5, 5), np.uint8), {}, r"\(H, W, 3\) uint8.*got \(5, 5\)", id="2-d"),
        pytest.param(np.zeros((5, 5, 4), np.uint8), {}, r"got \(5, 5, 4\)", id="alpha"),
        pytest.param(np.zeros((0, 5, 3), np.uint8), {}, r"got \(0, 5, 3\)", id="empty"),
        pytest.param(np.zeros((5, 5, 3)), {}, "uint8.*got .* float64", id="float"),
        pytest.param(_plain(0), {"size": 0}, "at least 1, got 0", id="size"),
        pytest.param(_plain(0), {"method": "magic"}, r"one of \['rbd'.*got 'magic'", id="method"),
    ],
)
def test_a_bad_argument_is_named(image, options, message):
    with pytest.raises(ValueError, match=message):
        saliency(image, **options)


def test_parameters_of_an_unknown_method_are_refused():
    with pytest.raises(ValueError, match="got 'magic'"):
        method_parameters("magic")


def test_importing_the_registry_imports_no_heavy_library():
    code = (
        "import sys, dilo.pipeline.saliency;"
        "print([m for m in ('scipy', 'skimage', 'torch', 'cv2') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
