"""Masks into boxes and back."""

import numpy as np
import torch
from pycocotools import mask as coco_mask

from dilo.eval.detect.masks import mask_targets, pasted_masks


def test_a_target_is_the_part_of_an_object_in_its_box_by_cocos_rule():
    triangle = np.array([10.0, 10, 30, 10, 10, 50])
    boxes = np.array([[10, 10, 30, 50], [20, 10, 30, 30], [60, 60, 70, 70]], np.float32)
    targets = mask_targets([(triangle,)] * 3, boxes, 28).numpy()
    for target, (x0, y0, x1, y1) in zip(targets[:2], boxes.tolist(), strict=False):
        moved = triangle.copy()
        moved[0::2] = (moved[0::2] - x0) * 28 / (x1 - x0)
        moved[1::2] = (moved[1::2] - y0) * 28 / (y1 - y0)
        expected = coco_mask.decode(coco_mask.frPyObjects([moved], 28, 28))[:, :, 0]
        assert (target == expected.astype(bool)).all()
    assert 0.4 < targets[0].mean() < 0.6
    assert not targets[2].any()


def test_the_pieces_of_an_object_are_joined():
    pieces = tuple(np.array([x, 0.0, x + 2, 0, x + 2, 8, x, 8]) for x in (0.0, 6.0))
    (target,) = mask_targets([pieces], np.array([[0, 0, 8, 8]], np.float32), 8).numpy()
    assert target[:, [0, 1, 6, 7]].all()
    assert not target[:, 2:6].any()


def test_a_pasted_mask_covers_its_box_and_nothing_else():
    boxes = torch.tensor([[3.0, 4.0, 13.0, 24.0], [0.0, 0.0, 5.5, 5.5]])
    runs = pasted_masks(torch.ones(2, 28, 28), boxes, (30, 20))
    masks = coco_mask.decode(list(runs))
    assert masks.shape == (30, 20, 2)
    rows, columns = np.where(masks[:, :, 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 23, 3, 12)
    assert masks[:, :, 0].sum() == 20 * 10
    assert isinstance(runs[0]["counts"], str)


def test_pasting_what_was_rasterised_gives_the_object_again():
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radii = 20 + 6 * rng.random(12)
    shape = np.stack([40 + radii * np.cos(angles), 35 + radii * np.sin(angles)], 1)
    box = np.concatenate([shape.min(0), shape.max(0)]).astype(np.float32)[None]
    target = mask_targets([(shape.ravel(),)], box, 28).float()
    (runs,) = pasted_masks(target, torch.from_numpy(box), (70, 80))
    truth = coco_mask.decode(coco_mask.frPyObjects([shape.ravel()], 70, 80))[:, :, 0]
    pasted = coco_mask.decode(dict(runs))
    overlap = (truth & pasted).sum() / (truth | pasted).sum()
    assert overlap > 0.93


def test_no_mask_is_pasted_of_no_box():
    assert pasted_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), (30, 20)) == ()
