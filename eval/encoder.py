"""A checkpoint to a frozen trunk: ours, and those of the repositories whose key names we share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dilo.eval.layouts import entry, few, find_trunks, shape_of
from dilo.pipeline.errors import CheckpointError, RecipeError
from dilo.train.backbones import bare_encoder
from dilo.train.checkpoint import steps
from dilo.train.reading import read_foreign
from dilo.train.recipe import ARCHITECTURES, ModelRecipe
from dilo.train.timm_encoder import TIMM


@dataclass(frozen=True, eq=False)
class Encoder:
    """A frozen trunk and what an evaluation must know of it.

    Attributes
    ----------
    network : Module
        Maps (B, 3, H, W) float32, in the colours that `space` names, to the pooled features
        (B, D) float32. In eval mode; no parameter requires a gradient.
    size : int
        Side, in pixels, of the images it was trained on.
    source : Path
        The file that the weights came from.
    step : int or None
        Optimiser steps taken, where the file says so.
    space : str
        The colours it sees, as `views.space` of a recipe names them.
    """

    network: nn.Module
    size: int
    source: Path
    step: int | None = None
    space: str = "rgb"


def load_encoder(path: Path, *, arch: str | None = None, size: int | None = None) -> Encoder:
    """Read the trunk of a checkpoint, without its projection head.

    Parameters
    ----------
    path : Path
        A checkpoint, or the folder of a run, which stands for its newest checkpoint.
    arch : str, optional
        Name of the ResNet; by default what the file says.
    size : int, optional
        Side of the evaluated images in pixels; by default that of the recipe in the
        file, or 224.

    Returns
    -------
    Encoder
        The frozen trunk.

    Raises
    ------
    CheckpointError
        If there is no checkpoint, it is damaged, or its weights are not exactly those of the
        architecture. Objects of other programs in it are dropped, and nothing of them is run.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020: the key names, and reading out the query encoder.
    """
    source = newest_checkpoint(path) if path.is_dir() else path
    content = read_foreign(source)
    found = find_trunks(content, source)
    recipe = entry(content, "dilo", "recipe")
    guessed, width = shape_of(found.trunks[0])
    said = _text(entry(content, "arch")) or _text(entry(recipe, "model", "arch"))
    arch = arch or said or guessed
    if arch not in ARCHITECTURES and not str(arch).startswith(TIMM):
        raise CheckpointError(
            f"{source}: the architecture must be one of {', '.join(ARCHITECTURES)} or timm:NAME, "
            f"got {arch}: say it with --arch"
        )
    model = ModelRecipe(arch=str(arch), width=width, stem=_stem(recipe, found.trunks[0]))
    parts = [_trunk(model, weights, source) for weights in found.trunks]
    network = parts[0] if len(parts) == 1 else Pair(*parts)
    network.eval().requires_grad_(False)
    step: Any = entry(content, "dilo", "step")
    views_size: Any = entry(recipe, "views", "size")
    space = _text(entry(recipe, "views", "space")) or found.space
    return Encoder(network, size or views_size or 224, source, step, space)


class Pair(nn.Module):
    """The two trunks of contrastive multiview coding, their features side by side.

    Parameters
    ----------
    luminance, colours : Module
        Trunks of the first channel, and of the other two.

    References
    ----------
    .. [1] Y. Tian, D. Krishnan and P. Isola, "Contrastive Multiview Coding", ECCV 2020.
    """

    def __init__(self, luminance: nn.Module, colours: nn.Module) -> None:
        super().__init__()
        self.l_to_ab, self.ab_to_l = luminance, colours

    def forward(self, images: Tensor) -> Tensor:
        """Give the pooled features.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            In the space of the encoder.

        Returns
        -------
        Tensor of shape (B, 2 D), float32
            Of luminance, then of colours.
        """
        return torch.cat([self.l_to_ab(images[:, :1]), self.ab_to_l(images[:, 1:])], 1)


def _stem(recipe: object, weights: dict[str, Tensor]) -> Any:
    """Tell the stem: as the recipe says, or by the size of its kernel."""
    first = weights.get("conv1.weight")
    small = first is not None and first.shape[-1] == 3
    return entry(recipe, "model", "stem") or ("small" if small else "imagenet")


def _trunk(model: ModelRecipe, weights: dict[str, Tensor], source: Path) -> nn.Module:
    """Build a trunk, and fill it."""
    channels = weights["conv1.weight"].shape[1] if "conv1.weight" in weights else 3
    try:
        network = bare_encoder(model, channels=channels)
    except RecipeError as error:
        raise CheckpointError(f"{source}: {error}") from error
    network.fc = nn.Identity()
    _fill(network, weights, f"{source} as a {model.arch} with the {model.stem} stem")
    return network


def newest_checkpoint(run: Path) -> Path:
    """Find the checkpoint with the highest step in the folder of a run.

    Parameters
    ----------
    run : Path
        What dilo-train was given as --out.

    Returns
    -------
    Path
        One of its ``checkpoints/step-*.pt``.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    found = steps(run)
    if not found:
        raise CheckpointError(
            f"{run} must be a checkpoint or the folder of a run, but there is no "
            f"{run / 'checkpoints' / 'step-*.pt'}: give the file itself, or train first"
        )
    return found[0][1]


def _text(value: object) -> str | None:
    """Keep a string, drop anything else that a foreign file may hold in its place."""
    return value if isinstance(value, str) else None


def _fill(network: nn.Module, weights: dict[str, Tensor], what: str) -> None:
    """Load weights that are exactly those of the network."""
    expected = network.state_dict()
    # Files of torch 0.4.0 and before do not count batches, and no output depends on it.
    missing = [
        name
        for name in expected
        if name not in weights and not name.endswith(".num_batches_tracked")
    ]
    unexpected = [name for name in weights if name not in expected]
    misfits = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    faults = {"lacks": missing, "has besides": unexpected, "has": misfits}
    if any(faults.values()):
        found = "; it ".join(f"{verb} {few(names)}" for verb, names in faults.items() if names)
        raise CheckpointError(
            f"{what} must have all its layers and no others, but it {found}: "
            "name another architecture with --arch, or take another checkpoint"
        )
    network.load_state_dict(weights, strict=False)
