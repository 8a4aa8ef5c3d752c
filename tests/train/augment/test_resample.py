"""Resampling a batch: Pillow's antialiased filter, fractions and mirrored, and read literally."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dilo.train.augment.paste import crop_and_resize


def pillow(plane, box, size):
    """Resize a float plane by Pillow, whose filter works in double precision there."""
    image = Image.fromarray(plane.numpy(), mode="F")
    top, left, height, width = box
    bounds = (left, top, left + width, top + height)
    return torch.from_numpy(
        np.array(image.resize(size[::-1], Image.Resampling.BILINEAR, box=bounds))
    )


@st.composite
def cases(draw):
    """Make a size, a box in it, with fractions, and a size to resize to."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    top, left = (draw(st.floats(0, 0.9)) * side for side in (height, width))
    tall = (height - top) * draw(st.floats(0.05, 1))
    wide = (width - left) * draw(st.floats(0.05, 1))
    size = draw(st.integers(1, 50)), draw(st.integers(1, 50))
    return (height, width), (top, left, tall, wide), size


@given(cases(), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_is_pillows_at_any_box_and_size(case, seed):
    (height, width), box, size = case
    plane = torch.rand(height, width, generator=torch.Generator().manual_seed(seed))
    found = crop_and_resize(plane[None, None], torch.tensor([box]), size)
    assert found.shape == (1, 1, *size)
    torch.testing.assert_close(found[0, 0], pillow(plane, box, size), rtol=0, atol=2e-4)


def test_equals_the_filter_read_one_pixel_at_a_time():
    plane = torch.rand(7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    top, left, tall, wide = box = (0.5, 1.25, 6.0, 3.5)
    size = (3, 5)
    found = crop_and_resize(plane.float()[None, None], torch.tensor([box]), size)[0, 0]
    for i, j in np.ndindex(size):
        y, x = top + (i + 0.5) * tall / size[0], left + (j + 0.5) * wide / size[1]
        total = weight = 0.0
        for row, column in np.ndindex(7, 9):
            w = max(0, 1 - abs(row + 0.5 - y) / max(1, tall / size[0]))
            w *= max(0, 1 - abs(column + 0.5 - x) / max(1, wide / size[1]))
            total, weight = total + w * plane[row, column].item(), weight + w
        assert found[i, j].item() == pytest.approx(total / weight, abs=1e-5)


def test_the_whole_picture_at_its_size_is_the_picture():
    pictures = torch.rand(2, 3, 8, 11)
    boxes = torch.tensor([[0.0, 0.0, 8.0, 11.0]] * 2)
    torch.testing.assert_close(crop_and_resize(pictures, boxes, (8, 11)), pictures)


def test_a_negative_side_mirrors():
    pictures = torch.rand(1, 3, 12, 10)
    straight = crop_and_resize(pictures, torch.tensor([[1.0, 2.0, 9.0, 5.0]]), (6, 7))
    across = crop_and_resize(pictures, torch.tensor([[1.0, 7.0, 9.0, -5.0]]), (6, 7))
    down = crop_and_resize(pictures, torch.tensor([[10.0, 2.0, -9.0, 5.0]]), (6, 7))
    torch.testing.assert_close(across, straight.flip(3))
    torch.testing.assert_close(down, straight.flip(2))


def test_each_picture_by_its_own_box():
    pictures = torch.rand(3, 3, 20, 20)
    boxes = torch.tensor([[0.0, 0, 20, 20], [3, 4, 5, 6], [10.5, 2, 9.25, 17]])
    together = crop_and_resize(pictures, boxes, (16, 16))
    for i in range(3):
        alone = crop_and_resize(pictures[i : i + 1], boxes[i : i + 1], (16, 16))
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-5)
