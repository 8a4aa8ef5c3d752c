"""The contract of every saliency method, and of `saliency`, which runs them.

That of networks is in test_saliency_networks.py.
"""

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
from support.odd_images import IMAGES, NOTHING, plain, square

from dilo.pipeline.saliency import METHODS, REFINEMENTS, Method, saliency

CLASSICAL = [name for name in sorted(METHODS) if isinstance(METHODS[name], Method)]
methods = pytest.mark.parametrize("method", sorted(METHODS))
classical = pytest.mark.parametrize("method", CLASSICAL)
refined = pytest.mark.parametrize("refine", [None, *sorted(REFINEMENTS)])
images = pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)


@classical
@refined
@images
def test_any_image_has_a_mask_and_always_the_same(method, refine, image):
    before = image.copy()
    mask = saliency(image, method, refine=refine)
    assert mask.shape == (224, 224)
    assert mask.dtype == np.uint8
    assert_array_equal(mask, saliency(image.copy(), method, refine=refine))
    assert_array_equal(image, before)


@classical
def test_a_mask_may_be_small(method):
    for size in (1, 2, 7, 30):
        assert saliency(square(), method, size=size).shape == (size, size)


@classical
@refined
@given(
    arrays(
        np.uint8, st.tuples(*[st.integers(1, 30)] * 2, st.just(3)), elements=st.integers(0, 255)
    ),
    st.sampled_from([1, 2, 5, 12, 48]),
)
@settings(max_examples=30, deadline=None)
def test_no_image_fails_or_warns_at_any_working_size(method, refine, image, side):
    mask = saliency(image, method, size=48, refine=refine, settings={"side": side})
    assert mask.shape == (48, 48)


@classical
@refined
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.tuples(*[st.sampled_from([20, 33, 64])] * 2),
)
@settings(max_examples=30, deadline=None)
def test_a_mask_holds_0_and_255_or_is_empty(method, refine, seed, blocks, shape):
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 256, (blocks, blocks, 3), dtype=np.uint8)
    rows, columns = (np.arange(side) * blocks // side for side in shape)
    image = colors[rows][:, columns] + rng.integers(0, 2, (*shape, 3), dtype=np.uint8)
    mask = saliency(image, method, size=48, refine=refine, settings={"side": 48})
    assert (mask.min(), mask.max()) in ((0, 255), (0, 0))


@classical
@refined
@pytest.mark.parametrize("image", NOTHING.values(), ids=NOTHING)
def test_nothing_is_salient_in_one_colour(method, refine, image):
    assert saliency(image, method, refine=refine).max() == 0


@classical
def test_a_method_gives_values_from_nought_to_one(method):
    values = METHODS[method](data.chelsea()[:160, :160].copy())
    assert values.dtype == np.float64
    assert values.shape == (160, 160)
    assert (values.min(), values.max()) == pytest.approx((0, 1))


@classical
@refined
def test_masks_run_from_0_to_255(method, refine):
    mask = saliency(data.chelsea(), method, refine=refine)
    assert (mask.min(), mask.max()) == (0, 255)


@classical
@refined
def test_an_object_is_more_salient_than_the_ground_it_lies_on(method, refine):
    mask = saliency(square((150, 150), slice(50, 100)), method, refine=refine)
    assert mask[90:134, 90:134].mean() > 200
    assert mask[:40].mean() < 40


@classical
def test_a_frame_round_a_picture_is_not_salient(method):
    picture = data.chelsea()[:290, :440]
    framed = np.zeros((300, 450, 3), np.uint8)
    framed[5:-5, 5:-5] = picture
    mask = saliency(framed, method)
    edge = np.concatenate([mask[:3].ravel(), mask[-3:].ravel()])
    assert edge.max() == 0
    inner = saliency(picture, method).astype(float)
    assert np.corrcoef(mask[6:-6, 6:-6].ravel(), inner[6:-6, 6:-6].ravel())[0, 1] > 0.7


@classical
@pytest.mark.parametrize("axis", [0, 1], ids=["upside-down", "left-right"])
def test_a_mirrored_photograph_has_the_mirrored_mask_but_for_ties(method, axis):
    for photo in (data.chelsea(), data.rocket(), data.coffee()):
        mask = saliency(photo, method).astype(float)
        mirrored = np.flip(saliency(np.flip(photo, axis), method), axis).astype(float)
        assert np.corrcoef(mask.ravel(), mirrored.ravel())[0, 1] > 0.9


@methods
def test_parameters_are_frozen_and_survive_json(method):
    parameters = METHODS[method].parameters
    found = METHODS[method].as_dict()
    assert json.loads(json.dumps(found)) == found
    assert list(found) == [field.name for field in dataclasses.fields(parameters)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(parameters, next(iter(found)), 1)


CHANGES = {
    "side": 100,
    "frame_reach": 0.01,
    "frame_density": 0.999,
    "frame_edge": 1000.0,
    "superpixels": 60,
    "compactness": 5.0,
    "iterations": 1,
    "smallest_superpixel": 1.0,
    "segmentation": "scikit-image",
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
    "boundary_nearest": 40.0,
    "boundary_distance": 100.0,
    "boundary_spread": 1000.0,
    "boundary_remote": 0.1,
    "top_superpixels": 0.2,
    "affinity_decay": 3.0,
    "affinity_floor": 0.1,
    "outlier_degree": 4.0,
    "outlier_saliency": -1.0,
    "frame_affinity": 1000.0,
    "equilibrium_score": 5.0,
    "manifold_decay": 3.0,
    "manifold_reach": 0.5,
}
#: What decides only where another parameter lets it: looked at beside that one's other value.
BESIDE = {
    "outlier_saliency": {"outlier_degree": 2.0},
    "boundary_nearest": {"boundary_remote": 0.05},
    "boundary_distance": {"boundary_remote": 0.05},
}


@pytest.mark.parametrize(
    ("method", "field"),
    [(method, field) for method in CLASSICAL for field in METHODS[method].as_dict()],
)
def test_every_parameter_changes_a_mask(method, field):
    image = np.zeros((160, 160, 3), np.uint8)
    image[4:-4, 4:-4] = data.rocket()[40:344:2, 100:404:2]
    beside = BESIDE.get(field, {})
    changed = beside | {field: CHANGES[field]}
    before, after = (saliency(image, method, settings=values) for values in (beside, changed))
    assert not np.array_equal(before, after)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        pytest.param(np.zeros((5, 5), np.uint8), {}, r"\(H, W, 3\) uint8.*got \(5, 5\)", id="2-d"),
        pytest.param(np.zeros((5, 5, 4), np.uint8), {}, r"got \(5, 5, 4\)", id="alpha"),
        pytest.param(np.zeros((0, 5, 3), np.uint8), {}, r"got \(0, 5, 3\)", id="empty"),
        *(
            pytest.param(np.zeros((5, 5, 3), dtype), {}, f"uint8.*got .* {dtype}", id=dtype)
            for dtype in ("bool", "int8", "uint16", "int64", "float16", "float32", "float64")
        ),
        pytest.param(plain(0), {"size": 0}, "at least 1, got 0", id="size"),
        pytest.param(plain(0), {"method": "magic"}, "one of .*rbd.*, got 'magic'", id="method"),
        pytest.param(plain(0), {"refine": "magic"}, "one of grabcut, got 'magic'", id="refine"),
    ],
)
def test_a_bad_argument_is_named(image, options, message):
    with pytest.raises(ValueError, match=message):
        saliency(image, **options)


def test_importing_the_registry_imports_no_heavy_library():
    code = (
        "import sys, dilo.pipeline.saliency;"
        "print([m for m in ('numba', 'scipy', 'skimage', 'torch', 'cv2') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
