"""Anchors, pooling and sampling as detectron2 does them, in torchvision's classes."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign, roi_align

from dilo.eval.detect.groups import current_group

#: Height by width.
RATIOS = (0.5, 1.0, 2.0)


class Anchors(AnchorGenerator):  # type: ignore[misc]  # torchvision has no types
    """Anchors at the upper left corner of each cell, by size first, then by ratio, not rounded.

    torchvision's are rounded to whole pixels, ordered by ratio first, and as far from each other as
    the padded image divided by the cells, rounded down: on a backbone whose images are not padded
    to a multiple of its stride, up to 83 px away from their cell.

    Parameters
    ----------
    sizes : sequence of sequence of int
        For each feature map: square roots of the areas, in pixels of the image.
    strides : sequence of int
        For each feature map: pixels of the image from one cell to the next.
    """

    def __init__(self, sizes: Sequence[Sequence[int]], strides: Sequence[int]) -> None:
        super().__init__(tuple(map(tuple, sizes)), (RATIOS,) * len(sizes))
        self.strides = tuple(strides)

    def generate_anchors(
        self,
        scales: Sequence[int],
        aspect_ratios: Sequence[float],
        dtype: torch.dtype = torch.float32,
        device: Any = "cpu",
    ) -> Tensor:
        """Make the anchors of a cell, of shape (A, 4), around its corner."""
        shapes = [
            (math.sqrt(size**2 / ratio), ratio * math.sqrt(size**2 / ratio))
            for size in scales
            for ratio in aspect_ratios
        ]
        boxes = [(-width / 2, -height / 2, width / 2, height / 2) for width, height in shapes]
        return torch.tensor(boxes, dtype=dtype, device=device)

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """Make the anchors of a batch, the same for each of its images."""
        first = feature_maps[0]
        # Coordinates of a thousand pixels have no room in half precision.
        self.set_cell_anchors(torch.float32, first.device)
        steps = [[torch.tensor(stride, device=first.device)] * 2 for stride in self.strides]
        grids = [tuple(feature_map.shape[-2:]) for feature_map in feature_maps]
        anchors = torch.cat(self.grid_anchors(grids, steps))
        return [anchors for _ in image_list.image_sizes]


class AlignedPooling(MultiScaleRoIAlign):  # type: ignore[misc]
    """RoIAlign of boxes whose borders lie where they are, not half a cell beside.

    The number of samples follows the size of the box. Of a pyramid, a box is pooled from the level
    that its size is for, a box of 224 px from stride 16.

    Parameters
    ----------
    names : sequence of str
        Names of the feature maps, the finest first.
    size : int
        Height and width of what is pooled, in cells.
    strides : sequence of int
        Of the feature maps, in pixels of the image.
    """

    def __init__(self, names: Sequence[str], size: int, strides: Sequence[int]) -> None:
        super().__init__(list(names), size, sampling_ratio=0)
        self.strides = tuple(strides)

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """Pool each box of each image, (x0, y0, x1, y1) in pixels: (N, C, size, size)."""
        maps = [x[name] for name in self.featmap_names]
        numbers = torch.cat([torch.full_like(each[:, :1], i) for i, each in enumerate(boxes)])
        corners = torch.cat(boxes)
        rois = torch.cat([numbers, corners], 1)
        if len(maps) == 1:
            return self._pool(maps[0], rois, self.strides[0])
        lowest = int(math.log2(self.strides[0]))
        area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        level = torch.floor(4 + torch.log2(area.sqrt() / 224 + 1e-8))
        level = level.clamp(lowest, lowest + len(maps) - 1).long() - lowest
        places = [torch.where(level == number)[0] for number in range(len(maps))]
        pooled = [
            self._pool(values, rois[place], stride)
            for values, place, stride in zip(maps, places, self.strides, strict=True)
        ]
        return torch.cat(pooled)[torch.argsort(torch.cat(places))]

    def _pool(self, values: Tensor, rois: Tensor, stride: int) -> Tensor:
        """Pool boxes from one feature map."""
        pooled: Tensor = roi_align(values, rois, self.output_size, 1 / stride, 0, aligned=True)
        return pooled


class Sampler:
    """Foreground and background boxes drawn from those of each image, by the group's own numbers.

    It stands for torchvision's BalancedPositiveNegativeSampler, which draws from a generator that
    is the same for all.

    Parameters
    ----------
    count : int
        Boxes of an image.
    foreground : float
        Largest share of foreground; where there is less, background takes its place.
    """

    def __init__(self, count: int, foreground: float) -> None:
        self.batch_size_per_image, self._foreground = count, foreground

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Draw from each image, whose boxes are foreground above 0 and background at 0.

        Returns masks of shape (N,), bool, one an image: of the foreground, of the background.
        """
        chosen = [self._draw(each) for each in labels]
        return [foreground for foreground, _ in chosen], [background for _, background in chosen]

    def _draw(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Draw from one image."""
        positive, negative = torch.where(labels >= 1)[0], torch.where(labels == 0)[0]
        wanted = min(len(positive), int(self.batch_size_per_image * self._foreground))
        foreground = _chosen(labels, positive, wanted)
        return foreground, _chosen(labels, negative, self.batch_size_per_image - wanted)


def _chosen(labels: Tensor, places: Tensor, count: int) -> Tensor:
    """Mark so many of some places, drawn where there are more."""
    if len(places) > count:
        group = current_group()
        generator = group.generator if group else None
        order = torch.randperm(len(places), device=places.device, generator=generator)
        places = places[order[:count]]
    mask = torch.zeros_like(labels, dtype=torch.bool)
    mask[places] = True
    return mask
