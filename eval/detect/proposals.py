"""The region proposal network with detectron2's losses."""

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from dilo.eval.detect.parts import Anchors, Sampler
from dilo.eval.detect.recipe import DetectorRecipe


class ProposalHead(RPNHead):  # type: ignore[misc]  # torchvision has no types
    """torchvision's head, whose output is float32 in every precision: boxes are made of it."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return objectness and box changes of each feature map."""
        objectness, deltas = super().forward(x)
        return [each.float() for each in objectness], [each.float() for each in deltas]


class Proposals(RegionProposalNetwork):  # type: ignore[misc]
    """torchvision's network with an L1 loss of boxes, and both losses divided by what is drawn.

    Parameters
    ----------
    anchors : Anchors
        Those of the feature maps.
    channels : int
        Of each feature map.
    model : DetectorRecipe
        How many anchors are learnt, taken and proposed.
    """

    def __init__(self, anchors: Anchors, channels: int, model: DetectorRecipe) -> None:
        super().__init__(
            anchors,
            ProposalHead(channels, anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=model.anchors,
            positive_fraction=0.5,
            pre_nms_top_n=dict(zip(("training", "testing"), model.pre_nms_top_n, strict=True)),
            post_nms_top_n=dict(zip(("training", "testing"), model.post_nms_top_n, strict=True)),
            nms_thresh=0.7,
        )
        self.fg_bg_sampler = Sampler(model.anchors, 0.5)
        self.min_size = 1e-30  # a side must be longer than nothing

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return the losses of objectness and boxes: sums, by the anchors asked for."""
        positive, negative = self.fg_bg_sampler(labels)
        foreground = torch.where(torch.cat(positive))[0]
        drawn = torch.cat([foreground, torch.where(torch.cat(negative))[0]])
        truth, targets = torch.cat(labels), torch.cat(regression_targets)
        count = self.fg_bg_sampler.batch_size_per_image * len(labels)
        boxes = functional.l1_loss(
            pred_bbox_deltas[foreground], targets[foreground], reduction="sum"
        )
        classes = functional.binary_cross_entropy_with_logits(
            objectness.flatten()[drawn], truth[drawn], reduction="sum"
        )
        return classes / count, boxes / count
