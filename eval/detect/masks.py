"""Masks of objects: polygons to the targets of a box, and what is found in a box to the image."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dilo.pipeline.masks.segmentations import Polygons, Rle

#: Pixels of all masks that are pasted at once.
_PIXELS = 2**26
#: No box is taken for narrower, in pixels.
_NARROWEST = 0.1


def mask_targets(objects: Sequence[Polygons], boxes: NDArray[np.float32], side: int) -> Tensor:
    """Rasterise objects as seen in boxes, by COCO's own rule.

    Parameters
    ----------
    objects : sequence of tuple of ndarray of shape (2 K,), float64
        Outlines of one object a box, x0, y0, x1, y1 and so on in pixels of the image.
    boxes : ndarray of shape (N, 4), float32
        x0, y0, x1, y1 in pixels of the image.
    side : int
        Cells of the target, along each side of the box.

    Returns
    -------
    Tensor of shape (N, side, side), bool
        What of each box its object covers.
    """
    from pycocotools import mask as coco_mask

    targets = np.zeros((len(boxes), side, side), bool)
    for target, polygons, (left, top, right, bottom) in zip(targets, objects, boxes, strict=True):
        # As detectron2 has it: the factor first, in the precision of the box.
        across = side / max(right - left, _NARROWEST)
        down = side / max(bottom - top, _NARROWEST)
        moved = []
        for points in polygons:
            outline = points.copy()
            outline[0::2] = (outline[0::2] - left) * across
            outline[1::2] = (outline[1::2] - top) * down
            moved.append(outline)
        runs = coco_mask.merge(coco_mask.frPyObjects(moved, side, side))
        target[:] = coco_mask.decode(runs)
    return torch.from_numpy(targets)


def pasted_masks(masks: Tensor, boxes: Tensor, shape: tuple[int, int]) -> tuple[Rle, ...]:
    """Paste the masks of boxes into an image, each pixel sampled at its centre.

    Parameters
    ----------
    masks : Tensor of shape (N, side, side), float
        Probabilities in each box.
    boxes : Tensor of shape (N, 4), float
        x0, y0, x1, y1 in pixels of the image.
    shape : (int, int)
        Height and width of the image.

    Returns
    -------
    tuple of mapping
        Run lengths of each mask, where its probability is at least a half.
    """
    from pycocotools import mask as coco_mask

    height, width = shape
    chunk = max(1, _PIXELS // (height * width))
    runs: list[Rle] = []
    for first in range(0, len(masks), chunk):
        part = slice(first, first + chunk)
        pasted = _paste(masks[part].float(), boxes[part].float(), height, width)
        columns = np.asfortranarray(pasted.permute(1, 2, 0).cpu().numpy().view(np.uint8))
        runs += cast("list[Any]", coco_mask.encode(columns))
    return tuple({**each, "counts": each["counts"].decode("ascii")} for each in runs)


def _paste(masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Sample masks at the centres of all pixels of an image: (N, height, width), bool."""
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    x = torch.arange(width, device=boxes.device) + 0.5
    y = torch.arange(height, device=boxes.device) + 0.5
    across = (x - left) / (right - left) * 2 - 1
    down = (y - top) / (bottom - top) * 2 - 1
    grid = torch.stack(
        [
            across[:, None].expand(-1, height, -1),
            down[:, :, None].expand(-1, -1, width),
        ],
        dim=3,
    )
    return functional.grid_sample(masks[:, None], grid, align_corners=False)[:, 0] >= 0.5
