"""Small random classifiers: narrow ResNets with a linear layer, in memory and as files."""

import functools
from pathlib import Path

import torch
from torch import Tensor, nn

from dilo.eval.models.classifier import Classifier
from dilo.eval.models.encoder import Encoder
from dilo.train.networks.encoder import build_network
from dilo.train.recipes.recipe import ModelRecipe

MODEL = ModelRecipe(arch="resnet18", stem="small", width=0.25)
#: Of its pooled features.
WIDTH = 128


def narrow_trunk(channels: int = 3) -> nn.Module:
    """Draw a small frozen ResNet whose batch norm is no identity."""
    network = build_network(MODEL, channels=channels)
    network.fc = nn.Identity()
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor.uniform_(-0.2, 0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    return network.eval().requires_grad_(False)


def small_classifier(
    classes: tuple[str, ...] | None, *, seed: int = 0, size: int = 16, source: Path = Path("c.pt")
) -> Classifier:
    """Draw a classifier of these classes, or of three without names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, count = narrow_trunk(), len(classes or "abc")
        weight, bias = torch.randn(count, WIDTH), torch.randn(count)
    encoder = Encoder(network, size, source, step=7, model=MODEL)
    return Classifier(encoder, weight, bias, classes)


def write_classifier(
    path: Path, classes: tuple[str, ...], *, seed: int = 0, size: int = 16
) -> Path:
    """Write one as `dilo-eval linear` does."""
    recipe = {
        "model": {"arch": "resnet18", "stem": "small", "width": 0.25},
        "views": {"size": size},
    }
    told = {"recipe": recipe, "step": 7, "classes": list(classes)}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"arch": "resnet18", "state_dict": dict(_drawn(classes, seed)), "dilo": told}, path)
    return path


@functools.cache
def _drawn(classes: tuple[str, ...], seed: int) -> dict[str, Tensor]:
    """Draw what is written, once: half of a test's time would go into random numbers."""
    drawn = small_classifier(classes, seed=seed)
    state = {f"module.{k}": v for k, v in drawn.encoder.network.state_dict().items()}
    return state | {"module.fc.weight": drawn.weight, "module.fc.bias": drawn.bias}
