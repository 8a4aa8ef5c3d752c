"""Detectors against the losses of detectron2's own code, and what they refuse."""

import dataclasses
import json
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from support.detection import DETECTION
from support.detectors import small_detector, small_recipe
from support.probes import tiny_encoder
from torch import nn

from dilo.eval.detect.coco_data import coco_paths, read_coco
from dilo.eval.detect.groups import in_groups
from dilo.eval.detect.models import empty_backbone, make_detector, require_backbone
from dilo.eval.detect.norms import SharedStatistics
from dilo.eval.detect.protocols import PROTOCOLS
from dilo.eval.detect.voc_data import read_voc
from dilo.eval.models.encoder import Encoder
from dilo.eval.models.two_stream import TwoStream
from dilo.pipeline.errors import CheckpointError
from dilo.train.recipes.recipe import ModelRecipe

shared = pytest.mark.skipif(not DETECTION.is_dir(), reason="needs the shared images")
#: Of `small_losses`.
SMALL_LOSSES = {
    "loss_classifier": 4.3956604,
    "loss_box_reg": 0.1133339,
    "loss_mask": 0.6924553,
    "loss_objectness": 0.0030862,
    "loss_rpn_box_reg": 0.0000083,
}
#: Standard deviation of these weights; of others, that of He.
SMALL = ("cls_score", "bbox_pred", "cls_logits", "mask_fcn_logits")


def fill(network):
    """Give each weight the values that its name decides, as golden.json says."""
    for name, values in network.state_dict().items():
        if values.ndim < 2:
            layer = network.get_submodule(name.rpartition(".")[0])
            one = name.endswith("running_var") or (
                name.endswith("weight") and isinstance(layer, nn.BatchNorm2d)
            )
            values.fill_(int(one))
            continue
        numbers = np.random.Generator(np.random.Philox(key=zlib.crc32(name.encode())))
        uniform = numbers.random(values.numel()) * 2 - 1
        fan = values[0].numel()
        std = 0.01 if any(word in name for word in SMALL) else (2 / fan) ** 0.5
        weights = (uniform * 3**0.5 * std).astype(np.float32).reshape(values.shape)
        values.copy_(torch.from_numpy(weights))


def squeezed(image):
    """Read an image at a short side of 128 px, with its objects."""
    picture = Image.open(image.path).convert("RGB")
    scale = 128 / min(picture.size)
    width, height = (int(side * scale + 0.5) for side in picture.size)
    across, down = width / image.width, height / image.height
    pixels = np.array(picture.resize((width, height), Image.Resampling.BILINEAR))
    target = {
        "boxes": torch.tensor(image.boxes * np.array([across, down] * 2, np.float32)),
        "labels": torch.from_numpy(image.labels + 1),
    }
    if image.segmentation is not None:
        target["polygons"] = [
            tuple((points.reshape(-1, 2) * (across, down)).ravel() for points in outlines)
            for outlines in image.segmentation
        ]
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float(), target


def golden_images(kind):
    if kind == "c4":
        data = read_voc(DETECTION / "VOCdevkit", 2012, "train", subset=True)
        return [squeezed(image) for image in data.images[:2]]
    data = read_coco(*coco_paths(DETECTION / "coco", "train2017"), subset=True)
    return [squeezed(image) for image in data.images if image.image_id in (71, 72)]


@shared
@pytest.mark.timeout(1200)  # ResNet-50 on a busy machine
@pytest.mark.parametrize(("kind", "protocol"), [("c4", "voc-24k"), ("fpn", "coco-fpn-1x")])
def test_losses_are_those_of_detectron2(kind, protocol):
    golden = json.loads((DETECTION / "golden.json").read_text())[kind]["losses"]
    # So many are asked for that nothing is drawn.
    recipe = dataclasses.replace(
        PROTOCOLS[protocol].recipe.model, anchors=100_000, rois=4096, post_nms_top_n=(60, 40)
    )
    detector = make_detector(empty_backbone(recipe), recipe)
    fill(detector)
    images, targets = zip(*golden_images(kind), strict=True)
    with torch.no_grad():
        (losses,) = in_groups(
            lambda part: detector(*part), [(images, targets)], [torch.Generator()]
        )
    assert {name: float(loss) for name, loss in losses.items()} == pytest.approx(golden, abs=1e-5)


def small_losses():
    """Compute the losses of a small detector with masks, of weights and images by formulas."""
    recipe = dataclasses.replace(
        small_recipe("coco-c4-2x").model, anchors=100_000, rois=4096, post_nms_top_n=(40, 20)
    )
    detector = small_detector(recipe)
    fill(detector)
    numbers = np.random.Generator(np.random.Philox(key=7))
    images = [
        torch.from_numpy(255 * numbers.random((3, 70, w)).astype(np.float32)) for w in (90, 64)
    ]
    square = np.array([10.0, 10, 40, 10, 40, 50, 10, 50])
    targets = [
        {
            "boxes": torch.tensor([[10.0, 10, 40, 50]]),
            "labels": torch.tensor([label]),
            "polygons": ((square,),),
        }
        for label in (3, 80)
    ]
    with torch.no_grad():
        (losses,) = in_groups(
            lambda part: detector(*part), [(images, targets)], [torch.Generator()]
        )
    return {name: loss.item() for name, loss in losses.items()}


def test_losses_of_a_small_detector_are_the_same_by_every_torchvision():
    """Compare with numbers of torchvision 0.29, when the test above held."""
    assert small_losses() == pytest.approx(SMALL_LOSSES, abs=1e-5)


def test_every_batch_norm_is_shared_and_new_layers_begin_as_the_protocol_says():
    detector = small_detector(small_recipe("coco-fpn-1x").model)
    norms = [each for each in detector.modules() if isinstance(each, nn.BatchNorm2d)]
    assert all(type(each) is SharedStatistics for each in norms)
    assert len(norms) == 21 + 8 + 4 + 4  # backbone, pyramid, box head, mask head
    predictor = detector.roi_heads.box_predictor
    assert predictor.cls_score.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert predictor.bbox_pred.weight.std().item() == pytest.approx(0.001, rel=0.1)
    masks = detector.roi_heads.mask_predictor
    assert not masks.conv5_mask.bias.any()
    assert masks.mask_fcn_logits.weight.std().item() == pytest.approx(0.001, rel=0.1)


def test_the_same_seed_gives_the_same_new_layers_and_leaves_torchs_own_numbers_alone():
    torch.manual_seed(5)
    first = small_detector(seed=3).state_dict()
    number = torch.rand(())
    torch.manual_seed(5)
    assert number == torch.rand(())
    second, other = small_detector(seed=3).state_dict(), small_detector(seed=4).state_dict()
    name = "roi_heads.box_predictor.cls_score.weight"
    assert torch.equal(first[name], second[name])
    assert not torch.equal(first[name], other[name])


def test_a_frozen_backbone_needs_no_gradient():
    detector = small_detector(small_recipe("voc-fast").model)
    needed = {name for name, each in detector.named_parameters() if each.requires_grad}
    assert not any(name.startswith("backbone.") for name in needed)
    assert any(".layer4." in name for name in needed)


@pytest.mark.parametrize("protocol", ["voc-24k", "coco-fpn-1x", "coco-c4-2x"])
def test_a_detector_finds_boxes_and_masks_in_images_of_any_size(protocol):
    recipe = small_recipe(protocol, side=64).model
    detector = small_detector(recipe).eval()
    detector.roi_heads.score_thresh, detector.roi_heads.detections_per_img = 0.0, 3
    with torch.no_grad():
        found = detector([torch.rand(3, 70, 91) * 255, torch.rand(3, 64, 40) * 255])
    side = {"voc-24k": 0, "coco-fpn-1x": 28, "coco-c4-2x": 14}[protocol]
    for each, (height, width) in zip(found, ((70, 91), (64, 40)), strict=True):
        count = len(each["boxes"])
        assert 0 < count <= 3
        assert (each["boxes"] >= 0).all()
        assert (each["boxes"] <= torch.tensor([width, height, width, height])).all()
        assert each["labels"].min() >= 1
        if side:
            assert each["masks"].shape == (count, side, side)


def encoder(tmp_path, network, model=None, space="rgb"):
    return Encoder(network, 224, tmp_path / "x.pt", space=space, model=model or ModelRecipe())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: tiny_encoder(folder / "x.pt"), "must hold one backbone of resnet18"),
        (
            lambda folder: encoder(folder, TwoStream(nn.Identity(), nn.Identity())),
            "got a TwoStream network: pairs",
        ),
        (
            lambda folder: encoder(
                folder,
                empty_backbone(small_recipe().model),
                ModelRecipe(arch="resnet18", stem="small"),
            ),
            "must have the 7 x 7 stem of ImageNet",
        ),
        (
            lambda folder: encoder(
                folder, empty_backbone(small_recipe().model), ModelRecipe(arch="resnet18"), "lab"
            ),
            "must see RGB for detection, got lab",
        ),
    ],
)
def test_backbones_that_cannot_serve_are_refused_in_words(tmp_path, change, words):
    with pytest.raises(CheckpointError, match=words):
        require_backbone(change(tmp_path))
