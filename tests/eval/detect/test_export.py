"""Detectors for detectron2: names, the background's place, settings; and a loader without dilo."""

import dataclasses
import functools
import importlib.util
import re

import numpy as np
import pytest
import torch
from support.detectors import small_detector, small_recipe

from dilo.eval.detect.export import detector_arrays, export_detector, write_backbone_config
from dilo.eval.detect.models import empty_backbone, make_detector
from dilo.eval.detect.protocols import PROTOCOLS, with_overrides
from dilo.eval.detect.weights import Detector, load_detector, write_detector
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.train.recipes.recipe import ModelRecipe
from dilo.train.weights.pickled_arrays import read_arrays


@functools.cache
def detector(protocol="voc-24k"):
    """Build a detector once: a pyramid's heads have millions of first weights."""
    recipe = small_recipe(protocol)
    network = small_detector(recipe.model).eval()
    classes = tuple(f"class {n}" for n in range(recipe.model.classes))
    return Detector(network, classes, recipe, protocol, width=0.125)


def test_c4_has_detectron2s_names():
    names = set(detector_arrays(detector()))
    assert {
        "backbone.stem.conv1.weight",
        "backbone.stem.conv1.norm.running_var",
        "backbone.res2.0.shortcut.norm.weight",
        "backbone.res4.1.conv2.weight",
        "roi_heads.res5.0.conv1.norm.bias",
        "roi_heads.res5.norm.running_mean",
        "roi_heads.box_predictor.cls_score.bias",
        "roi_heads.box_predictor.bbox_pred.weight",
        "proposal_generator.rpn_head.conv.weight",
        "proposal_generator.rpn_head.objectness_logits.bias",
        "proposal_generator.rpn_head.anchor_deltas.weight",
    } <= names
    firsts = ("backbone.stem.", "backbone.res", "roi_heads.res5.", "roi_heads.box_predictor.")
    assert all(name.startswith((*firsts, "proposal_generator.rpn_head.")) for name in names)


@pytest.mark.parametrize(
    ("protocol", "box_head"),
    [
        ("coco-fpn-1x", ("conv1.weight", "conv4.norm.running_mean", "fc1.bias")),
        ("coco-fpn-1x-moco", ("fc1.weight", "fc2.weight")),
    ],
)
def test_a_pyramid_has_detectron2s_names(protocol, box_head):
    names = set(detector_arrays(detector(protocol)))
    mask = "mask_fcn4.norm.bias" if protocol == "coco-fpn-1x" else "mask_fcn4.bias"
    assert {
        "backbone.bottom_up.stem.conv1.weight",
        "backbone.bottom_up.res5.1.conv2.norm.weight",
        "backbone.fpn_lateral2.weight",
        "backbone.fpn_lateral5.norm.weight",
        "backbone.fpn_output3.norm.running_var",
        *(f"roi_heads.box_head.{name}" for name in box_head),
        f"roi_heads.mask_head.{mask}",
        "roi_heads.mask_head.mask_fcn1.weight",
        "roi_heads.mask_head.deconv.weight",
        "roi_heads.mask_head.predictor.bias",
    } <= names
    assert not any(".0." in name and ".res" not in name for name in names)


def test_the_background_is_last_among_scores_and_has_no_box_and_no_mask():
    one = detector("coco-fpn-1x")
    arrays, state = detector_arrays(one), one.network.state_dict()
    scores = state["roi_heads.box_predictor.cls_score.weight"].numpy()
    expected = np.concatenate([scores[1:], scores[:1]])
    assert (arrays["roi_heads.box_predictor.cls_score.weight"] == expected).all()
    boxes = state["roi_heads.box_predictor.bbox_pred.bias"].numpy()
    assert (arrays["roi_heads.box_predictor.bbox_pred.bias"] == boxes[4:]).all()
    masks = state["roi_heads.mask_predictor.mask_fcn_logits.weight"].numpy()
    assert (arrays["roi_heads.mask_head.predictor.weight"] == masks[1:]).all()


def test_a_file_for_detectron2_is_a_pickle_of_arrays_with_settings_beside_it(tmp_path):
    one = dataclasses.replace(detector("coco-fpn-1x"), width=1.0)
    optimizer = dataclasses.replace(
        one.recipe.optimizer, momentum=0.8, weight_decay=2e-4, scaling="none"
    )
    one = dataclasses.replace(one, recipe=dataclasses.replace(one.recipe, optimizer=optimizer))
    written = export_detector(one, tmp_path / "weights.pkl")
    content = read_arrays(tmp_path / "weights.pkl")
    assert set(content["model"]) == set(detector_arrays(one))
    assert len(content["model"]) == written["tensors"]
    text = (tmp_path / "weights.yaml").read_text()
    for line in (
        "  MASK_ON: true",
        '  WEIGHTS: "weights.pkl"',
        "  PIXEL_MEAN: [123.675, 116.28, 103.53]",
        "    RES2_OUT_CHANNELS: 64",
        "    NUM_CONV: 4",
        "    NUM_CLASSES: 80",
        "  MIN_SIZE_TEST: 64",
        "  MOMENTUM: 0.8",
        "  WEIGHT_DECAY: 0.0002",
        "  WEIGHT_DECAY_NORM: 0.0",
        "  BASE_LR: 0.02",
        '  TEST: ["coco_2017_val"]',
    ):
        assert line in text.splitlines()


def test_a_backbone_gets_the_settings_of_the_moco_repository(tmp_path):
    model = ModelRecipe(arch="resnet50")
    encoder = Encoder(torch.nn.Identity(), 224, tmp_path / "x.pt", model=model)
    config = write_backbone_config(encoder, tmp_path / "backbone.pkl")
    lines = config.read_text().splitlines()
    for line in (
        '    NAME: "Res5ROIHeadsExtraNorm"',
        '    NORM: "naiveSyncBN"',
        "  STEPS: [18000, 22000]",
        "  WARMUP_ITERS: 100",
        "  MIN_SIZE_TRAIN: [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800]",
        '  TRAIN: ["voc_2007_trainval", "voc_2012_trainval"]',
        "    ENABLED: true",
    ):
        assert line in lines
    small = dataclasses.replace(encoder, model=ModelRecipe(arch="resnet18"))
    assert write_backbone_config(small, tmp_path / "small.pkl") is None


def test_settings_say_the_width_and_one_that_detectron2_cannot_build_is_refused(tmp_path):
    model = ModelRecipe(arch="resnet50", width=2)
    encoder = Encoder(torch.nn.Identity(), 224, tmp_path / "x.pt", model=model)
    lines = write_backbone_config(encoder, tmp_path / "backbone.pkl").read_text().splitlines()
    assert "    WIDTH_PER_GROUP: 128" in lines
    assert "    RES2_OUT_CHANNELS: 512" in lines
    odd = dataclasses.replace(encoder, model=ModelRecipe(arch="resnet50", width=0.3))
    assert write_backbone_config(odd, tmp_path / "odd.pkl") is None
    with pytest.raises(DiloError, match=r"got a resnet18 of width 0\.125: load the detector with"):
        export_detector(detector("coco-fpn-1x"), tmp_path / "detector.pkl")
    assert not (tmp_path / "detector.pkl").exists()


@pytest.mark.parametrize(("protocol", "width"), [("voc-24k", 1.0), ("coco-fpn-1x", 0.3)])
def test_the_loader_for_other_code_finds_the_same_without_dilo(tmp_path, protocol, width, request):
    recipe = with_overrides(PROTOCOLS[protocol], arch="resnet18", side=64)
    recipe = dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, pre_nms_top_n=(50, 50), post_nms_top_n=(9, 9)),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = make_detector(empty_backbone(recipe.model, width), recipe.model)
    torch.nn.init.normal_(network.roi_heads.box_predictor.cls_score.weight, std=0.1)
    names = tuple(map(str, range(recipe.model.classes)))
    one = Detector(network.eval(), names, recipe, protocol, width=width)
    write_detector(tmp_path / "detector.pth", one)
    path = request.config.rootpath / "examples" / "load_detector.py"
    assert not re.search(r"^\s*(import|from) dilo", path.read_text(), re.M)
    spec = importlib.util.spec_from_file_location("load_detector", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    theirs, classes = example.load(tmp_path / "detector.pth")
    ours = load_detector(tmp_path / "detector.pth")
    assert tuple(classes) == ours.classes
    image = torch.rand(3, 64, 70) * 255
    with torch.no_grad():
        (one,), (other,) = ours.network([image]), theirs([image])
    assert len(one["boxes"])
    for name in ("boxes", "scores", "labels"):
        assert torch.equal(one[name], other[name])


def test_a_file_of_something_else_is_no_detector(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="must be a detector that dilo-eval detect wrote"):
        load_detector(tmp_path / "x.pth")
    one = detector()
    write_detector(tmp_path / "y.pth", one)
    content = torch.load(tmp_path / "y.pth", weights_only=True)
    content["dilo"]["classes"] = ["one"]
    torch.save(content, tmp_path / "y.pth")
    with pytest.raises(CheckpointError, match="must say its 20 classes and its colours"):
        load_detector(tmp_path / "y.pth")
