"""Features without a network: chosen rows, and a small checkpoint that makes others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dilo.eval.features.features import Features
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.provenance import FeatureSource
from dilo.pipeline.images.names import Names
from dilo.train.networks.encoder import resnet
from dilo.train.recipes.recipe import ModelRecipe

SOURCE = FeatureSource("c.pt", "ab" * 32, 7, 16, "rgb", "pooled", "resnet18", "fp32")


def chosen_features(
    rows: Tensor, labels: Sequence[int], classes: tuple[str, ...], source: FeatureSource = SOURCE
) -> Features:
    """Call rows the features of images in a folder that need not be there."""
    names = Names(
        f"{classes[label] if classes else 'any'}/{i}.png" for i, label in enumerate(labels)
    )
    folder = Path("/images")
    return Features(folder, rows, torch.tensor(labels), classes, names, (), names.digest(), source)


def features_of_all(listed: LabelledFolder, rows: Tensor) -> Features:
    """Call rows the features of all images of a folder."""
    return Features.from_rows(listed, list(range(len(listed.names))), rows, (), SOURCE)


def small_checkpoint(path: Path, *, seed: int = 0, dilo: dict[str, Any] | None = None) -> Path:
    """Write a narrow ResNet with a linear head to 8 dimensions, for 16 px images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = resnet(ModelRecipe(arch="resnet18", stem="small", width=0.25, dim=8))
    state = {f"module.encoder_q.{name}": value for name, value in network.state_dict().items()}
    recipe = {"model": {"arch": "resnet18", "stem": "small", "width": 0.25}, "views": {"size": 16}}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"arch": "resnet18", "state_dict": state}
    torch.save({**content, "dilo": {"step": 7, "recipe": recipe, **(dilo or {})}}, path)
    return path
