"""A network makes masks: as its authors do, whatever else is in the batch."""

import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from skimage import data
from support import basnet_reference
from support.photographs import disc_and_truth, photograph
from support.salientnetworks import basnet, double, taught

from dilo.pipeline.errors import DiloError
from dilo.pipeline.saliency.networkparameters import SalientObjectParameters
from dilo.train.saliency.masknetwork import SalientObjectNetwork, open_basnet

SIDE = 64
PARAMETERS = SalientObjectParameters(side=SIDE)
NETWORK = basnet()
PHOTOGRAPHS = ["astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry"]

OPENED = SalientObjectNetwork(NETWORK, PARAMETERS, "cpu")


@pytest.fixture
def opened():
    return OPENED


def masks(network, images):
    """Go all three steps, in one batch."""
    seen = np.stack([network.prepare(image) for image in images])
    maps = network.maps(seen, [""] * len(images))
    return [network.finish(*pair) for pair in zip(seen, maps, strict=True)]


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_mask_is_that_of_the_definition_read_literally(opened, name):
    image = getattr(data, name)()
    (mask,) = masks(opened, [image])
    assert mask.shape == (SIDE, SIDE)
    assert mask.dtype == np.float64
    assert (mask.min(), mask.max()) == (0, 1)
    expected = basnet_reference.saliency(double(NETWORK), image, SIDE)
    assert expected.std() > 0.05
    assert_allclose(mask, expected, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 9))
def test_an_image_is_squashed_bilinearly_and_divided_by_its_own_maximum(height, width, seed):
    image = np.random.default_rng(seed).integers(0, 200, (height, width, 3), dtype=np.uint8)
    image[0, 0] = 1  # never black
    seen = OPENED.prepare(image)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    squashed = F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", align_corners=False)
    expected = squashed[0].permute(1, 2, 0).numpy() / squashed.max().item()
    assert seen.dtype == np.float32
    assert seen.max() == 1
    assert_allclose(seen, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_no_filter_smooths_an_image_whose_sides_are_multiples(opened, factor):
    image = np.zeros((SIDE * factor, SIDE * factor, 3), np.uint8)
    image[::factor, ::factor] = 255  # between the samples of all but the factor 2
    assert opened.prepare(image).max() == (factor == 2)


def test_a_large_image_is_never_held_a_second_time(opened):
    image = np.zeros((2000, 1500, 3), np.uint8)
    tracemalloc.start()
    try:
        opened.prepare(image)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < image.nbytes / 4


def test_a_black_image_is_seen_black_and_has_a_mask(opened):
    black = np.zeros((5, 9, 3), np.uint8)
    assert_array_equal(opened.prepare(black), np.zeros((SIDE, SIDE, 3), np.float32))
    (mask,) = masks(opened, [black])
    assert np.isfinite(mask).all()


def test_a_map_hangs_on_no_other_of_its_batch(opened):
    images = [photograph(seed, 50, 70) for seed in range(4)]
    seen = np.stack([opened.prepare(image) for image in images])
    together = opened.maps(seen, "abcd")
    assert together.shape == (4, SIDE, SIDE)
    assert together.dtype == np.float32
    others = opened.maps(np.concatenate([seen[:1], 1 - seen[1:]]), "aefg")
    assert_array_equal(together[0], others[0])
    for alone, mate in zip(seen, together, strict=True):
        assert_allclose(opened.maps(alone[None], "a")[0], mate, atol=1e-5)


def test_a_mirrored_image_counts_as_much_as_the_image_where_that_is_asked_for(opened):
    images = [photograph(seed, 50, 70) for seed in range(2)]
    seen = np.stack([opened.prepare(image) for image in images])
    asked = SalientObjectParameters(side=SIDE, mirror=True)
    maps = SalientObjectNetwork(NETWORK, asked, "cpu").maps(seen, "ab")
    alone, other = opened.maps(seen, "ab"), opened.maps(seen[:, :, ::-1].copy(), "ab")[..., ::-1]
    assert np.abs(alone - other).max() > 0.01
    assert_allclose(maps, (alone + other) / 2, atol=1e-5)


def test_a_mask_spans_the_whole_range_and_a_constant_map_gives_none(opened):
    found = np.array([[0.2, 0.3], [0.4, 0.7]], np.float32)
    expected = [[0, 0.2], [0.4, 1]]
    assert_allclose(opened.finish(found, found), expected, rtol=1e-6)
    assert_array_equal(opened.finish(found, np.full((2, 2), 0.7, np.float32)), np.zeros((2, 2)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_is_refused(opened, value):
    found = np.array([[0.5, value]], np.float32)
    with pytest.raises(ValueError, match="the map must be finite, got NaN or infinity: compute"):
        opened.finish(found, found)


def test_weights_come_from_a_file(tmp_path, opened):
    torch.save(NETWORK.state_dict(), tmp_path / "basnet.pth")
    image = photograph(0)
    (mask,) = masks(open_basnet(tmp_path / "basnet.pth", PARAMETERS, "cpu", None), [image])
    assert_array_equal(mask, masks(opened, [image])[0])


@pytest.fixture(scope="module")
def learned():
    """Teach a network what is salient: of one that knows nothing, any rounding changes masks."""
    return taught()


def errors(network, device, precision):
    """Compute the mean absolute error of the photographs that it was taught."""
    parameters = SalientObjectParameters(side=32, precision=precision)
    images, truths = zip(*(disc_and_truth(seed, 32) for seed in range(8)), strict=True)
    found = masks(SalientObjectNetwork(network, parameters, device), images)
    return np.array([np.abs(f - t).mean() for f, t in zip(found, truths, strict=True)])


def test_bfloat16_costs_less_than_two_thousandths(learned):
    exact, rounded = errors(learned, "cpu", "fp32"), errors(learned, "cpu", "bf16")
    assert exact.mean() < 0.1
    assert 0 < np.abs(rounded - exact).max() < 0.002


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_costs_less_than_two_thousandths(learned, precision):
    exact, there = errors(learned, "cpu", "fp32"), errors(learned, "cuda", precision)
    assert np.abs(there - exact).max() < 0.002


def test_float16_on_a_cpu_is_refused():
    parameters = SalientObjectParameters(side=SIDE, precision="fp16")
    with pytest.raises(DiloError, match="--precision fp16 needs a GPU, got a CPU: give bf16 or"):
        SalientObjectNetwork(NETWORK, parameters, "cpu")
