"""Load a detector.pth of `dilo-eval detect` with torchvision alone: copy this file to use it.

    detector, classes = load("detector.pth")
    (objects,) = detector([image])  # (3, H, W) float32, RGB of 0 to 255, its short side 800 px

`objects` has "boxes", "scores", "labels" from 1 and, with masks, "masks": probabilities in them.
"""

import math
import sys

import torch
from torch import nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_inference
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import MultiScaleRoIAlign, roi_align

BLOCKS = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
}
SIZES, STRIDES = (32, 64, 128, 256, 512), (4, 8, 16, 32, 64)
#: Of ImageNet, for values of 0 to 255.
MEAN_AND_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


class Backbone(ResNet):
    """A ResNet whose layers are wider or narrower by a factor; the stem keeps its channels."""

    def __init__(self, arch, width):
        block, blocks = BLOCKS[arch]
        self.width = width  # before the constructor, which makes the layers
        super().__init__(block, blocks)
        self.channels = [int(64 * 2**n * width) * block.expansion for n in range(4)]

    def _make_layer(self, block, planes, *arguments, **options):
        return super()._make_layer(block, int(planes * self.width), *arguments, **options)


class Anchors(AnchorGenerator):
    """Anchors that are not rounded, at fixed strides, by size and then by ratio."""

    def __init__(self, sizes, strides):
        super().__init__(sizes, ((0.5, 1.0, 2.0),) * len(sizes))
        self.strides = strides

    def generate_anchors(self, scales, aspect_ratios, dtype=torch.float32, device="cpu"):
        """Make the anchors of a cell."""
        shapes = [
            (math.sqrt(s**2 / r), r * math.sqrt(s**2 / r)) for s in scales for r in aspect_ratios
        ]
        boxes = [(-w / 2, -h / 2, w / 2, h / 2) for w, h in shapes]
        return torch.tensor(boxes, dtype=dtype, device=device)

    def forward(self, image_list, feature_maps):
        """Make the anchors of a batch."""
        self.set_cell_anchors(torch.float32, feature_maps[0].device)
        steps = [[torch.tensor(s, device=feature_maps[0].device)] * 2 for s in self.strides]
        anchors = torch.cat(self.grid_anchors([m.shape[-2:] for m in feature_maps], steps))
        return [anchors for _ in image_list.image_sizes]


class Pooling(MultiScaleRoIAlign):
    """RoIAlign of boxes as they lie, with as many samples as a box needs."""

    def __init__(self, names, size, strides):
        super().__init__(names, size, 0)
        self.strides = strides

    def forward(self, x, boxes, image_shapes):
        """Pool each box from the level of its size."""
        maps, corners = [x[name] for name in self.featmap_names], torch.cat(boxes)
        numbers = torch.cat([torch.full_like(each[:, :1], i) for i, each in enumerate(boxes)])
        rois, first = torch.cat([numbers, corners], 1), int(math.log2(self.strides[0]))
        area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        level = torch.floor(4 + torch.log2(area.sqrt() / 224 + 1e-8))
        level = level.clamp(first, first + len(maps) - 1) - first
        places = [torch.where(level == n)[0] for n in range(len(maps))]
        pooled = [
            roi_align(m, rois[p], self.output_size, 1 / s, 0, True)
            for m, p, s in zip(maps, places, self.strides, strict=True)
        ]
        return torch.cat(pooled)[torch.argsort(torch.cat(places))]


class LastLayerHead(nn.Module):
    """layer4 as the head of each box, with a batch norm behind it."""

    def __init__(self, layer4, channels):
        super().__init__()
        self.layer4, self.norm = layer4, nn.BatchNorm2d(channels)

    def forward(self, pooled):
        """Turn what is pooled into maps."""
        return self.norm(self.layer4(pooled))


class Predictor(FastRCNNPredictor):
    """Scores and boxes from features, or from the means of maps."""

    def forward(self, x):
        """Predict."""
        return super().forward(x.mean((2, 3)) if x.ndim == 4 else x)


class Heads(RoIHeads):
    """Finds objects; of masks, only the probabilities in each box."""

    def forward(self, features, proposals, image_shapes, targets=None):
        """Find the objects in boxes."""
        maps = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        boxes, scores, labels = self.postprocess_detections(
            *self.box_predictor(maps), proposals, image_shapes
        )
        results = [
            dict(zip(("boxes", "scores", "labels"), each, strict=True))
            for each in zip(boxes, scores, labels, strict=True)
        ]
        if self.mask_predictor is not None:
            pool, head = self.mask_roi_pool or self.box_roi_pool, self.mask_head or self.box_head
            masks = self.mask_predictor(head(pool(features, boxes, image_shapes)))
            for each, mask in zip(results, maskrcnn_inference(masks, labels), strict=True):
                each["masks"] = mask[:, 0]
        return results, {}


class AsGiven(GeneralizedRCNNTransform):
    """Normalises and pads, and leaves sizes as they are."""

    def resize(self, image, target=None):
        """Return what was given."""
        return image, target

    def postprocess(self, result, image_shapes, original_image_sizes):
        """Return what was given."""
        return result


def load(path):
    """Build a detector and fill it; return it with the names of its classes."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    about = content["dilo"]
    model, classes = about["recipe"]["model"], len(about["classes"]) + 1
    trunk, fpn = Backbone(model["arch"], about["width"]), model["kind"] == "fpn"
    wide = trunk.channels[3]
    masks = {}
    if fpn:
        levels = {f"layer{n + 1}": str(n) for n in range(4)}
        norm = nn.BatchNorm2d if model["head_norm"] else None
        body = BackboneWithFPN(trunk, levels, trunk.channels, 256, norm_layer=nn.BatchNorm2d)
        anchors, channels = Anchors([(size,) for size in SIZES], STRIDES), 256
        pooling = Pooling(["0", "1", "2", "3"], 7, STRIDES[:4])
        layers = [256] * model["box_convs"], [1024] * model["box_layers"]
        head, values = FastRCNNConvFCHead((256, 7, 7), *layers, norm), 1024
        if model["masks"]:
            masks["mask_roi_pool"] = Pooling(["0", "1", "2", "3"], 14, STRIDES[:4])
            masks["mask_head"] = MaskRCNNHeads(256, [256] * 4, 1, norm)
    else:
        head, values = LastLayerHead(trunk.layer4, wide), wide
        body = IntermediateLayerGetter(trunk, {"layer3": "0"})
        anchors, channels = Anchors((SIZES,), (16,)), trunk.channels[2]
        pooling = Pooling(["0"], 14, (16,))
    if model["masks"]:
        masks["mask_predictor"] = MaskRCNNPredictor(256 if fpn else wide, 256, classes)
    counts = ({"testing": model[name][1]} for name in ("pre_nms_top_n", "post_nms_top_n"))
    rpn = RegionProposalNetwork(
        anchors,
        RPNHead(channels, anchors.num_anchors_per_location()[0]),
        *(0.7, 0.3, 256, 0.5, *counts, 0.7),
    )
    rpn.min_size = 1e-30
    predictor = Predictor(values, classes)
    heads = Heads(pooling, head, predictor, 0.5, 0.5, 512, 0.25, None, 0.05, 0.5, 100, **masks)
    unit = about["space"] == "unit"
    mean, std = ([0.0] * 3, [255.0] * 3) if unit else MEAN_AND_STD
    detector = GeneralizedRCNN(body, rpn, heads, AsGiven(0, 0, mean, std, 32 if fpn else 1))
    detector.load_state_dict(content["state_dict"])
    return detector.eval(), about["classes"]


if __name__ == "__main__":
    _, names = load(sys.argv[1])
    print(f"{sys.argv[1]}: {len(names)} classes")
