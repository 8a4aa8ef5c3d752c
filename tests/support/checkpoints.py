"""Small random checkpoints, laid out as dilo-train writes them."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dilo.train.networks.encoder import resnet
from dilo.train.recipes.recipe import ModelRecipe

#: Of the networks drawn here: a quarter as wide, so sixteen times as fast.
WIDTH = 0.25


def model_of(**options: Any) -> ModelRecipe:
    """Name the network that is drawn unless something else is asked for."""
    return ModelRecipe(**{"arch": "resnet18", "stem": "small", "width": WIDTH, **options})


def trunk_state(*, seed: int = 0, channels: int = 3, **options: Any) -> dict[str, Tensor]:
    """Draw a ResNet with its head; its batch-norm statistics are no identity either."""
    return dict(_drawn(seed, channels, model_of(**options)))


@functools.cache
def _drawn(seed: int, channels: int, model: ModelRecipe) -> dict[str, Tensor]:
    """Draw once: half of a test's time would go into random numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return settled(resnet(model, channels)).state_dict()


def settled(network: nn.Module) -> nn.Module:
    """Give a network statistics of batch norm as if it had been trained."""
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor.uniform_(-0.2, 0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    return network


def checkpoint_content(
    state: dict[str, Tensor], *, prefix: str = "module.encoder_q.", size: int = 32, step: int = 7
) -> dict[str, Any]:
    """Lay a network out as dilo-train does, or under another prefix."""
    return {
        "epoch": 1,
        "arch": "resnet18",
        "state_dict": {f"{prefix}{name}": tensor for name, tensor in state.items()}
        | {"module.queue": torch.zeros(128, 16), "module.queue_ptr": torch.zeros(1).long()},
        "optimizer": {"state": {}, "param_groups": []},
        "dilo": {
            "step": step,
            "recipe": {
                "model": {"arch": "resnet18", "stem": "small", "head": "linear", "dim": 128},
                "views": {"size": size, "crop_scale": [0.2, 1.0]},
            },
        },
    }


def write_checkpoint(
    path: Path, change: Callable[[dict[str, Any]], object] | None = None, **layout: Any
) -> Path:
    """Write a random checkpoint, after a change to its content if one is given."""
    content = checkpoint_content(trunk_state(), **layout)
    if change is not None:
        change(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path
