"""Copy-paste: soft alpha, only where asked, on any background."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image

from dilo.train.copypaste import paste, paste_picture

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.rand(4, 3, 9, 7, generator=GENERATOR)
MASKS = torch.rand(4, 1, 9, 7, generator=GENERATOR)
LEVELS = torch.rand(4, 1, 1, 1, generator=GENERATOR)
ALL = torch.ones(4, dtype=torch.bool)


def test_equals_the_mixture_read_one_pixel_at_a_time():
    result = paste(IMAGES, MASKS, LEVELS, ALL)
    for b, c, i, j in np.ndindex(*IMAGES.shape):
        alpha, level = MASKS[b, 0, i, j].item(), LEVELS[b].item()
        expected = IMAGES[b, c, i, j].item() * alpha + level * (1 - alpha)
        assert result[b, c, i, j].item() == pytest.approx(expected, abs=1e-6)


def test_the_ends_of_the_mask_are_exact():
    assert torch.equal(paste(IMAGES, torch.ones_like(MASKS), LEVELS, ALL), IMAGES)
    background = paste(IMAGES, torch.zeros_like(MASKS), LEVELS, ALL)
    assert torch.equal(background, LEVELS.expand_as(IMAGES))


def test_samples_not_asked_for_come_back_bit_for_bit():
    where = torch.tensor([True, False, True, False])
    result = paste(IMAGES, MASKS, LEVELS, where)
    assert torch.equal(result[~where], IMAGES[~where])
    assert torch.equal(result[where], paste(IMAGES, MASKS, LEVELS, ALL)[where])


def test_what_was_given_is_not_changed():
    before = IMAGES.clone(), MASKS.clone()
    paste(IMAGES, MASKS, LEVELS, ALL)
    assert torch.equal(IMAGES, before[0])
    assert torch.equal(MASKS, before[1])


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (4, 3, 1, 1), (1, 3, 9, 7), (4, 3, 9, 7)])
def test_a_background_may_be_a_level_a_colour_or_a_picture(shape):
    backgrounds = torch.rand(shape, generator=GENERATOR)
    whole = backgrounds.expand_as(IMAGES)
    assert torch.equal(
        paste(IMAGES, MASKS, backgrounds, ALL), paste(IMAGES, MASKS, whole.contiguous(), ALL)
    )


def test_is_pillows_composite_within_its_rounding():
    rng = np.random.default_rng(0)
    image, other = rng.integers(0, 256, (2, 40, 30, 3), np.uint8)
    mask = rng.integers(0, 256, (40, 30), np.uint8)
    expected = Image.composite(*map(Image.fromarray, (image, other, mask)))
    image, other = (torch.from_numpy(x).permute(2, 0, 1)[None] / 255 for x in (image, other))
    result = paste(image, torch.from_numpy(mask)[None, None] / 255, other, ALL[:1])
    levels = (result[0] * 255).permute(1, 2, 0).numpy()
    assert np.abs(levels - np.asarray(expected)).max() <= 0.51
    assert_array_equal(np.round(levels).shape, (40, 30, 3))


def test_one_picture_for_the_eye_is_the_same_paste():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (5, 7, 3), np.uint8)
    mask = rng.integers(0, 256, (5, 7), np.uint8)
    share = mask[:, :, None] / 255
    expected = np.rint(image * share + 200 * (1 - share))
    found = paste_picture(image, mask, 200).astype(int)
    assert found.shape == (5, 7, 3)
    assert np.abs(found - expected).max() <= 1  # a half may round either way
    assert_array_equal(paste_picture(image, np.full((5, 7), 255, np.uint8), 3), image)
