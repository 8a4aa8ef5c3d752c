"""Detectors so small that a step takes a blink."""

from pathlib import Path
from typing import Any

import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from dilo.eval.detect.models import empty_backbone, make_detector
from dilo.eval.detect.protocols import PROTOCOLS, with_overrides
from dilo.eval.detect.recipe import DetectionRecipe, DetectorRecipe

#: Channels of the backbone, as a factor of a ResNet-18's.
WIDTH = 0.125
#: Values of a recipe that a CPU trains in no time.
SMALL: dict[str, Any] = {
    "precise_norm": 2,
    "model": {"rois": 16, "anchors": 32, "pre_nms_top_n": [100, 100], "post_nms_top_n": [24, 24]},
}
#: The same, for a command line.
SMALL_OPTIONS = (
    *("--set", "precise_norm=2", "--set", "model.rois=16", "--set", "model.anchors=32"),
    *("--set", "model.pre_nms_top_n=[100, 100]", "--set", "model.post_nms_top_n=[24, 24]"),
)


def small_recipe(protocol: str = "voc-24k", **changes: Any) -> DetectionRecipe:
    """Make the recipe of a small detector: two groups of two images of 64 px, four steps."""
    options = {"batch": 4, "groups": 2, "iterations": 4, "side": 64, "values": SMALL} | changes
    return with_overrides(PROTOCOLS[protocol], arch="resnet18", **options)


def small_detector(recipe: DetectorRecipe | None = None, seed: int = 0) -> GeneralizedRCNN:
    """Build a small detector whose backbone has random weights of a seed."""
    recipe = recipe or small_recipe().model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = empty_backbone(recipe, WIDTH)
    return make_detector(network, recipe, seed=seed)


def write_backbone(path: Path, seed: int = 0, width: float = WIDTH) -> Path:
    """Write a checkpoint of a small backbone with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = empty_backbone(DetectorRecipe(arch="resnet18"), width)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"arch": "resnet18", "state_dict": network.state_dict()}, path)
    return path


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Tell whether two state dicts are equal to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
