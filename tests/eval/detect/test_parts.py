"""Anchors, pooling and sampling against the rules in words."""

import math

import pytest
import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import roi_align

from dilo.eval.detect.groups import in_groups
from dilo.eval.detect.parts import AlignedPooling, Anchors, Sampler


def test_anchors_stand_at_the_corner_of_each_cell_by_size_then_by_ratio():
    make = Anchors(((32, 64),), (16,))
    images = ImageList(torch.zeros(1, 3, 50, 37), [(50, 37)])
    (anchors,) = make(images, [torch.zeros(1, 8, 4, 3)])
    expected = []
    for row in range(4):
        for column in range(3):
            for size in (32, 64):
                for ratio in (0.5, 1.0, 2.0):
                    width = math.sqrt(size**2 / ratio)
                    x, y, w, h = 16 * column, 16 * row, width / 2, width * ratio / 2
                    expected.append([x - w, y - h, x + w, y + h])
    assert torch.allclose(anchors, torch.tensor(expected))


def test_each_box_is_pooled_from_the_level_that_its_size_is_for():
    maps = {str(n): torch.rand(2, 3, 64 // 2**n, 64 // 2**n) for n in range(4)}
    boxes = [
        torch.tensor([[0.0, 0, 20, 20], [0, 0, 224, 224], [5, 5, 240, 250]]),
        torch.tensor([[0.0, 0, 111, 112], [3, 3, 255, 30]]),
    ]
    pooled = AlignedPooling("0123", 7, (4, 8, 16, 32))(maps, boxes, [(256, 256)] * 2)
    row = 0
    for number, image in enumerate(boxes):
        for x0, y0, x1, y1 in image.tolist():
            level = math.floor(4 + math.log2(math.sqrt((x1 - x0) * (y1 - y0)) / 224 + 1e-8))
            level = min(max(level, 2), 5)
            roi = torch.tensor([[float(number), x0, y0, x1, y1]])
            values = maps[str(level - 2)]
            expected = roi_align(values, roi, 7, 1 / 2**level, 0, aligned=True)
            assert torch.equal(pooled[row], expected[0])
            row += 1


@pytest.mark.parametrize(
    ("positive", "negative", "drawn"),
    [(100, 900, (16, 48)), (5, 900, (5, 59)), (100, 20, (16, 20)), (0, 10, (0, 10))],
)
def test_foreground_is_at_most_its_share_and_background_fills_up(positive, negative, drawn):
    labels = torch.cat([torch.ones(positive), torch.zeros(negative), -torch.ones(7)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]

    def draw(_):
        (foreground,), (background,) = Sampler(64, 0.25)([labels])
        return foreground, background

    ((foreground, background),) = in_groups(draw, [0], [torch.Generator().manual_seed(1)])
    assert (int(foreground.sum()), int(background.sum())) == drawn
    assert (labels[foreground] == 1).all()
    assert (labels[background] == 0).all()
    ((again, _),) = in_groups(draw, [0], [torch.Generator().manual_seed(1)])
    assert torch.equal(foreground, again)
