"""The network that a checkpoint's weights belong to: told, built, and filled with them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dilo.eval.models.layouts import CheckpointWeights, declared_arch, head_of, shape_of
from dilo.eval.models.two_stream import SingleStream, TwoStream
from dilo.pipeline.errors import CheckpointError, RecipeError, first_few, near
from dilo.train.networks.encoder import build_network
from dilo.train.networks.timm_encoder import TIMM
from dilo.train.networks.weights import load_weights
from dilo.train.recipes.recipe import ARCHITECTURES, ModelRecipe


def infer_model(
    content: object, weights: CheckpointWeights, source: Path, arch: str | None = None
) -> ModelRecipe:
    """Tell architecture, width and stem: as the user says, as the file does, or by the shapes."""
    backbone = weights.backbones[0]
    guessed, width = shape_of(backbone)
    arch = arch or declared_arch(content) or guessed
    if arch not in ARCHITECTURES and not str(arch).startswith(TIMM):
        raise CheckpointError(
            f"{source}: the architecture must be one of {', '.join(ARCHITECTURES)} or timm:NAME, "
            f"got {arch}: give it with --arch{near(arch, ARCHITECTURES)}"
        )
    first = backbone.get("conv1.weight")
    small = first is not None and first.ndim == 4 and first.shape[-1] == 3
    return ModelRecipe(arch=str(arch), width=width, stem="small" if small else "imagenet")


def add_head(model: ModelRecipe, weights: CheckpointWeights, source: Path) -> ModelRecipe:
    """Add the projection head that the weights tell of."""
    head = head_of(weights.heads[0])
    if head is None:
        raise CheckpointError(
            f"{source} must hold a projection head of one linear layer, of two, or SimCLR's, got "
            f"{first_few(list(weights.heads[0])) or 'no head'}: evaluate the pooled features "
            "instead"
        )
    kind: Any = head[0]
    return replace(model, head=kind, head_layers=head[1], dim=head[2])


def load_network(
    model: ModelRecipe, weights: CheckpointWeights, source: Path, *, headless: bool
) -> nn.Module:
    """Build the network, with or without its head, and fill it; it is frozen, in eval mode."""
    backbones = [
        _filled(model, backbone, None if headless else head, channels, source)
        for backbone, head, channels in zip(
            weights.backbones, weights.heads, weights.channels, strict=True
        )
    ]
    network = backbones[0] if len(backbones) == 1 else TwoStream(*backbones)
    if weights.channels in ((1,), (2,)):
        network = SingleStream(network, weights.channels[0])
    return network.eval().requires_grad_(False)


def _filled(
    model: ModelRecipe,
    weights: dict[str, Tensor],
    head: dict[str, Tensor] | None,
    channels: int,
    source: Path,
) -> nn.Module:
    """Build a backbone, with its head if there is one to fill, and fill it."""
    if head is not None:
        if model.head == "linear":  # PyContrast numbers the layers of this head, too
            head = {name.removeprefix("0."): value for name, value in head.items()}
        weights = weights | {f"fc.{name}": value for name, value in head.items()}
    what = f"{source} as a {model.arch} with the {model.stem} stem must have all its layers"
    advice = "name another architecture with --arch, or take another checkpoint"
    if not model.arch.startswith(TIMM):
        # Without memory: what a file claims is compared before anything as large is made.
        with torch.device("meta"):
            claimed = _empty(model, channels, source, headless=head is None)
        if _numbers(claimed.state_dict()) > 2 * _numbers(weights):
            load_weights(claimed, weights, what, advice)
    network = _empty(model, channels, source, headless=head is None)
    load_weights(network, weights, what, advice)
    return network


def _empty(model: ModelRecipe, channels: int, source: Path, *, headless: bool) -> nn.Module:
    """Build a network that is not filled."""
    try:
        network = build_network(model, channels=channels)
    except RecipeError as error:
        raise CheckpointError(f"{source}: {error}") from error
    if headless:
        network.fc = nn.Identity()
    return network


def _numbers(weights: Mapping[str, Tensor]) -> int:
    """Count the numbers in weights."""
    return sum(tensor.numel() for tensor in weights.values())
