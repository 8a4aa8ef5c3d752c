"""A small collection with objects to find: images, their masks, and maps that are perfect."""

from pathlib import Path

import numpy as np
import torch
from support.maps import save
from torch import nn

from dilo.eval.classifier import Classifier
from dilo.eval.encoder import Encoder
from dilo.train.backbones import bare_encoder
from dilo.train.recipe import ModelRecipe

SIDE = 32


def write_objects(root: Path, names: tuple[str, ...]) -> Path:
    """Write an image, a mask and a perfect map of each name: a bright rectangle on noise."""
    rng = np.random.default_rng(3)
    for name in names:
        top, left = rng.integers(2, 12, 2)
        truth = np.zeros((SIDE, SIDE), np.uint8)
        truth[top : top + 14, left : left + 16] = 255
        image = np.where(truth[:, :, None] > 0, 220, rng.integers(0, 90, (SIDE, SIDE, 3)))
        save(root / "images" / f"{name}.jpg", image.astype(np.uint8))
        save(root / "masks" / f"{name}.png", truth)
        save(root / "perfect" / f"{name}.png", truth)
    return root


def small_classifier(classes: tuple[str, ...] | None = ("ant", "bee")) -> Classifier:
    """Draw a classifier of two classes on a quarter of a ResNet-18."""
    model = ModelRecipe(arch="resnet18", stem="small", width=0.25)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = bare_encoder(model)
        network.fc = nn.Identity()
        weight = torch.randn(2, 128)
    network.eval().requires_grad_(False)
    encoder = Encoder(network, SIDE, Path("run/c.pt"), step=3, model=model)
    return Classifier(encoder, weight, torch.zeros(2), classes)


def write_classifier(path: Path) -> Path:
    """Write that classifier to a file, as `dilo-eval linear` does."""
    made = small_classifier()
    trunk = made.encoder.network.state_dict()
    state = {f"module.{name}": tensor for name, tensor in trunk.items()}
    state |= {"module.fc.weight": made.weight, "module.fc.bias": made.bias}
    recipe = {"model": {"arch": "resnet18", "stem": "small"}, "views": {"size": SIDE}}
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"step": 3, "recipe": recipe, "classes": ["ant", "bee"]}
    torch.save({"arch": "resnet18", "state_dict": state, "dilo": told}, path)
    return path
