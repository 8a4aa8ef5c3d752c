"""Colour spaces: scikit-image's, pixel by pixel, and the published means and deviations."""

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from skimage import color

from dilo.train.augment.color import MEAN, STD, standardisation, to_color_space

#: Of the three channels, as the CMC and PyContrast repositories have them.
LAB = ((50, 6.025, -6.6895), (50, 92.208, 101.1675))
YCBCR = ((116.151, 121.080, 132.342), (109.500, 111.855, 111.964))
YDBDR = ((0.457, -0.082, -0.052), (0.500, 1.331, 1.333))
CASES = [
    ("lab", color.rgb2lab, *LAB),
    ("ycbcr", color.rgb2ycbcr, *YCBCR),
    ("ydbdr", color.rgb2ydbdr, *YDBDR),
    ("rgb", lambda pixels: pixels, MEAN, STD),
    ("unit", lambda pixels: pixels, (0, 0, 0), (1, 1, 1)),
]


def as_skimage(images, convert, mean, std):
    """Convert in double precision, channels last, as scikit-image wants them."""
    pixels = images.permute(0, 2, 3, 1).numpy().astype(np.float64)
    return (convert(pixels) - mean) / std


@pytest.fixture(scope="module")
def images():
    """Corners of the cube, both sides of the toes of sRGB and Lab, and any colours."""
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)))
    dark = torch.linspace(0, 0.12, 241)
    toes = torch.cat([dark[:, None].expand(-1, 3), dark[:, None] * torch.eye(3)[0]])
    edge = torch.tensor([0.04045]).nextafter(torch.tensor([1.0]))[:, None].expand(1, 3)
    some = torch.rand(3 * 600 - len(corners) - len(toes) - 1, 3, generator=torch.manual_seed(0))
    return torch.cat([corners, toes, edge, some]).reshape(3, 20, 30, 3).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("space", "convert", "mean", "std"), CASES, ids=lambda case: str(case)[:5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_space_is_that_of_scikit_image_standardised(images, layout, space, convert, mean, std):
    images = images.contiguous(memory_format=layout)
    before = images.clone()
    found = to_color_space(images, space)
    assert found.dtype == torch.float32
    assert torch.equal(images, before)
    expected = as_skimage(images, convert, mean, std)
    assert_allclose(found.permute(0, 2, 3, 1).numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("space", "convert", "mean", "std"), CASES, ids=lambda case: str(case)[:5])
def test_the_standardisation_of_a_space_is_told(space, convert, mean, std):
    assert standardisation(space) == (mean, std)


@pytest.mark.parametrize(
    ("space", "value", "expected"),
    [
        ("lab", 0.0, (-1, -6.025 / 92.208, 6.6895 / 101.1675)),
        ("lab", 1.0, (1, -6.025 / 92.208, 6.6895 / 101.1675)),
        (
            "ycbcr",
            0.0,
            ((16 - 116.151) / 109.5, (128 - 121.08) / 111.855, (128 - 132.342) / 111.964),
        ),
        (
            "ycbcr",
            1.0,
            ((235 - 116.151) / 109.5, (128 - 121.08) / 111.855, (128 - 132.342) / 111.964),
        ),
        ("ydbdr", 0.0, (-0.457 / 0.5, 0.082 / 1.331, 0.052 / 1.333)),
        ("ydbdr", 1.0, (0.543 / 0.5, 0.082 / 1.331, 0.052 / 1.333)),
    ],
)
def test_black_and_white_have_no_colour(space, value, expected):
    found = to_color_space(torch.full((1, 3, 1, 1), value), space).flatten()
    # White of scikit-image's XYZ matrix is off the white point by 1e-4 in a and b.
    assert_allclose(found.numpy(), expected, atol=2e-4)


def test_a_hair_outside_of_the_range_is_still_a_number():
    images = torch.tensor([-1e-3, 1 + 1e-3])[:, None, None, None].expand(2, 3, 1, 1)
    for space in ("lab", "ycbcr", "ydbdr"):
        assert to_color_space(images, space).isfinite().all()
