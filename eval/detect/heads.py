"""What is made of each box: its class, its place, its mask, with detectron2's losses."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads

from dilo.eval.detect.masks import mask_targets
from dilo.eval.detect.parts import AlignedPooling, Sampler
from dilo.eval.detect.recipe import DetectorRecipe


class LastLayerHead(nn.Module):
    """A backbone's layer4 as the head of each box, with a batch norm behind it.

    Parameters
    ----------
    layer4 : Module
        Maps (N, C, 14, 14) to (N, D, 7, 7).
    norm : Module
        Batch norm of D channels.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation Learning",
       CVPR 2020, section 4.2: the extra batch norm.
    """

    def __init__(self, layer4: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.layer4, self.norm = layer4, norm

    def forward(self, pooled: Tensor) -> Tensor:
        """Turn what is pooled from boxes, (N, C, 14, 14), into maps, (N, D, 7, 7)."""
        return cast(Tensor, self.norm(self.layer4(pooled)))


class BoxPredictor(FastRCNNPredictor):  # type: ignore[misc]  # torchvision has no types
    """torchvision's predictor with detectron2's first weights, whose output is float32."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes + 1)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.bbox_pred.weight, std=0.001)
        nn.init.zeros_(self.cls_score.bias)
        nn.init.zeros_(self.bbox_pred.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores of background and classes, and changes of the box for each."""
        features = x.mean((2, 3)) if x.ndim == 4 else x
        scores, deltas = super().forward(features)
        return scores.float(), deltas.float()


class MaskPredictor(MaskRCNNPredictor):  # type: ignore[misc]
    """torchvision's predictor with detectron2's first weights, whose output is float32."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, 256, classes + 1)
        nn.init.normal_(self.mask_fcn_logits.weight, std=0.001)
        nn.init.zeros_(self.mask_fcn_logits.bias)
        nn.init.zeros_(self.conv5_mask.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Return a mask for the background, which nobody asks for, and one for each class."""
        return cast(Tensor, super().forward(maps)).float()


class Heads(RoIHeads):  # type: ignore[misc]
    """torchvision's heads with an L1 loss of boxes and masks from polygons.

    Parameters
    ----------
    pooling : AlignedPooling
        Of the boxes.
    box_head : Module
        From what is pooled to features or maps.
    predictor : BoxPredictor
        From these to scores and boxes.
    model : DetectorRecipe
        How many boxes are learnt.
    mask_pooling, mask_head, mask_predictor : Module, optional
        The same of masks. With the predictor alone, it takes the maps of the box head.
    """

    def __init__(
        self,
        pooling: AlignedPooling,
        box_head: nn.Module,
        predictor: BoxPredictor,
        model: DetectorRecipe,
        mask_pooling: AlignedPooling | None = None,
        mask_head: nn.Module | None = None,
        mask_predictor: MaskPredictor | None = None,
    ) -> None:
        super().__init__(
            pooling,
            box_head,
            predictor,
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=model.rois,
            positive_fraction=0.25,
            bbox_reg_weights=(10.0, 10.0, 5.0, 5.0),
            score_thresh=0.05,
            nms_thresh=0.5,
            detections_per_img=100,
            mask_roi_pool=mask_pooling,
            mask_head=mask_head,
            mask_predictor=mask_predictor,
        )
        self.fg_bg_sampler = Sampler(model.rois, 0.25)

    def check_targets(self, targets: object) -> None:
        """Accept polygons, where torchvision insists on masks of whole images."""

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Any]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Learn from boxes, or find objects in them.

        Parameters
        ----------
        features : dict of str to Tensor of shape (B, C, h, w)
            Feature maps.
        proposals : list of Tensor of shape (N, 4)
            One an image: boxes, x0, y0, x1, y1 in pixels.
        image_shapes : list of (int, int)
            Height and width of each image, in pixels.
        targets : list of dict, optional
            In training, of each image: "boxes" (M, 4), "labels" (M,) from 1, "polygons".

        Returns
        -------
        detections : list of dict
            In evaluation, of each image: "boxes" (D, 4), "labels", "scores" (D,), and "masks"
            (D, side, side), probabilities in the box.
        losses : dict of str to Tensor of shape ()
            In training.
        """
        if self.training:
            return [], self._losses(features, proposals, image_shapes, targets)
        maps = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        scores, deltas = self.box_predictor(maps)
        results = self.postprocess_detections(scores, deltas, proposals, image_shapes)
        detections = [
            {"boxes": boxes, "scores": certainties, "labels": labels}
            for boxes, certainties, labels in zip(*results, strict=True)
        ]
        if self.mask_predictor is not None:
            boxes = [each["boxes"] for each in detections]
            pooled = self._mask_maps(features, boxes, image_shapes)
            masks = self.mask_predictor(pooled).sigmoid()
            labels = torch.cat([each["labels"] for each in detections])
            own = masks[torch.arange(len(labels), device=labels.device), labels]
            for each, part in zip(detections, own.split([len(box) for box in boxes]), strict=True):
                each["masks"] = part
        return detections, {}

    def _losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Any]] | None,
    ) -> dict[str, Tensor]:
        """Return the losses of classes, boxes and masks on boxes drawn from the proposals."""
        proposals, objects, drawn, regression = self.select_training_samples(proposals, targets)
        maps = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        scores, deltas = self.box_predictor(maps)
        labels = torch.cat(drawn)
        foreground = torch.where(labels > 0)[0]
        own = deltas.reshape(len(labels), -1, 4)[foreground, labels[foreground]]
        wanted = torch.cat(regression)[foreground]
        losses = {
            "loss_classifier": functional.cross_entropy(scores, labels),
            "loss_box_reg": functional.l1_loss(own, wanted, reduction="sum") / len(labels),
        }
        if self.mask_predictor is not None and targets is not None:
            positives = [torch.where(each > 0)[0] for each in drawn]
            boxes = [box[place] for box, place in zip(proposals, positives, strict=True)]
            pooled = self._mask_maps(features, boxes, image_shapes, maps[foreground])
            masks = self.mask_predictor(pooled)
            truth = [
                mask_targets(
                    [target["polygons"][number] for number in matched[place].tolist()],
                    box.detach().cpu().numpy(),
                    masks.shape[-1],
                )
                for target, matched, place, box in zip(
                    targets, objects, positives, boxes, strict=True
                )
            ]
            losses["loss_mask"] = _mask_loss(masks, labels[foreground], torch.cat(truth))
        return losses

    def _mask_maps(
        self,
        features: dict[str, Tensor],
        boxes: list[Tensor],
        image_shapes: list[tuple[int, int]],
        maps: Tensor | None = None,
    ) -> Tensor:
        """Return what masks are predicted from; `maps` are those of the box head, if it has any."""
        if self.mask_head is not None:
            return cast(Tensor, self.mask_head(self.mask_roi_pool(features, boxes, image_shapes)))
        if maps is not None:
            return maps
        return cast(Tensor, self.box_head(self.box_roi_pool(features, boxes, image_shapes)))


def _mask_loss(masks: Tensor, labels: Tensor, truth: Tensor) -> Tensor:
    """Return the loss of the masks of each box's own class; 0 of no box."""
    if not len(labels):
        return masks.sum() * 0  # so that all weights have a gradient on every rank
    own = masks[torch.arange(len(labels), device=labels.device), labels]
    return functional.binary_cross_entropy_with_logits(own, truth.to(own))
