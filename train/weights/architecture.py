"""The network that weights are of, told by what the file says or by their shapes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from dilo.pipeline.errors import CheckpointError, first_few, near
from dilo.train.networks.timm_encoder import TIMM
from dilo.train.recipes.recipe import ARCHITECTURES, ModelRecipe
from dilo.train.weights.layouts import CheckpointWeights, declared_arch, head_of, shape_of


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
