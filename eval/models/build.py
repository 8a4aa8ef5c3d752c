"""The network that a checkpoint's weights belong to, built and filled with them."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from dilo.eval.models.two_stream import SingleStream, TwoStream
from dilo.pipeline.errors import CheckpointError, RecipeError
from dilo.train.networks.encoder import build_network
from dilo.train.networks.timm_encoder import TIMM
from dilo.train.recipes.recipe import ModelRecipe
from dilo.train.weights.layouts import CheckpointWeights, unnumbered
from dilo.train.weights.loading import load_weights


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
        weights = weights | {f"fc.{name}": value for name, value in unnumbered(head).items()}
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
