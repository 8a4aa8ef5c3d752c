"""A checkpoint to a frozen trunk: ours, and those of the repositories whose key names we share."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dilo.eval.layouts import Found, entry, few, find_trunks, head_of, shape_of
from dilo.eval.pair import Pair
from dilo.pipeline.errors import CheckpointError, RecipeError
from dilo.train.backbones import bare_encoder, trunk_features
from dilo.train.checkpoint import steps
from dilo.train.colors import to_space
from dilo.train.reading import read_foreign
from dilo.train.recipe import ARCHITECTURES, ModelRecipe
from dilo.train.timm_encoder import TIMM

#: What of a network is read out: what it pools, or what its projection head makes of that.
Output = Literal["pooled", "embedding"]


@dataclass(frozen=True, eq=False)
class Encoder:
    """A frozen trunk and what an evaluation must know of it.

    Attributes
    ----------
    network : Module
        Maps (B, 3, H, W) float32, in the colours that `space` names, to the pooled features
        (B, D) float32, or to the embedding. In eval mode; no parameter requires a gradient.
    size : int
        Side, in pixels, of the images it was trained on.
    source : Path
        The file that the weights came from.
    step : int or None
        Optimiser steps taken, where the file says so.
    space : str
        The colours it sees, as `views.space` of a recipe names them.
    model : ModelRecipe
        Architecture, stem, width and head.
    recipe : mapping of str to object
        The recipe of its training, as the file has it; empty where it has none.
    """

    network: nn.Module
    size: int
    source: Path
    step: int | None = None
    space: str = "rgb"
    model: ModelRecipe = field(default_factory=ModelRecipe)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def features(self, images: Tensor) -> Tensor:
        """Turn images into features.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            RGB in [0, 1], on the network's device.

        Returns
        -------
        Tensor of shape (B, D), float32
            Pooled, not normalised; or embedded.
        """
        features: Tensor = self.network(to_space(images, self.space))
        return features

    def maps(self, images: Tensor) -> Tensor:
        """Give what the trunk pools, whose mean over the cells is `features`.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            RGB in [0, 1], on the network's device.

        Returns
        -------
        Tensor of shape (B, D, h, w), float32
            The last feature maps; of a pair, luminance's channels, then those of colours.

        Raises
        ------
        RecipeError
            If the network has none, as a vision transformer.
        """
        seen = to_space(images, self.space)
        if isinstance(self.network, Pair):
            return torch.cat([trunk_features(n, part) for n, part in self.network.parts(seen)], 1)
        return trunk_features(self.network, seen)


def load_encoder(
    path: Path,
    *,
    arch: str | None = None,
    size: int | None = None,
    output: Output = "pooled",
) -> Encoder:
    """Read the trunk of a checkpoint, with or without its projection head.

    Parameters
    ----------
    path : Path
        A checkpoint, or the folder of a run, which stands for its newest checkpoint.
    arch : str, optional
        Name of the ResNet; by default what the file says.
    size : int, optional
        Side of the evaluated images in pixels; by default that of the recipe in the
        file, or 224.
    output : {"pooled", "embedding"}, default "pooled"
        What the network is to give: what it pools, or what its projection head makes of that.

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
    source = checkpoint_file(path)
    content = read_foreign(source)
    return encoder_of(content, find_trunks(content, source), source, arch, size, output)


def encoder_of(
    content: object,
    found: Found,
    source: Path,
    arch: str | None = None,
    size: int | None = None,
    output: Output = "pooled",
) -> Encoder:
    """Build the network that a checkpoint's weights belong to, and fill it.

    Parameters
    ----------
    content : object
        What the file holds.
    found : Found
        Its weights.
    source : Path
        The file.
    arch, size, output : optional
        As `load_encoder` takes them.

    Returns
    -------
    Encoder
        The frozen trunk.

    Raises
    ------
    CheckpointError
        If the weights are not exactly those of the architecture.
    """
    recipe = entry(content, "dilo", "recipe")
    model = _model(content, found, source, arch)
    if output == "embedding":
        model = _with_head(model, found, source)
    parts = [
        _network(model, weights, head, source, output)
        for weights, head in zip(found.trunks, found.heads, strict=True)
    ]
    network = parts[0] if len(parts) == 1 else Pair(*parts)
    network.eval().requires_grad_(False)
    return Encoder(
        network,
        size or entry(recipe, "views", "size") or 224,
        source,
        entry(content, "dilo", "step"),
        _text(entry(recipe, "views", "space")) or found.space,
        model,
        recipe if isinstance(recipe, Mapping) else {},
    )


def _model(content: object, found: Found, source: Path, arch: str | None) -> ModelRecipe:
    """Tell architecture, width and stem: as the user says, as the file does, or by the shapes."""
    recipe, trunk = entry(content, "dilo", "recipe"), found.trunks[0]
    guessed, width = shape_of(trunk)
    said = _text(entry(content, "arch")) or _text(entry(recipe, "model", "arch"))
    arch = arch or said or guessed
    if arch not in ARCHITECTURES and not str(arch).startswith(TIMM):
        raise CheckpointError(
            f"{source}: the architecture must be one of {', '.join(ARCHITECTURES)} or timm:NAME, "
            f"got {arch}: say it with --arch"
        )
    first = trunk.get("conv1.weight")
    small = first is not None and first.shape[-1] == 3
    stem: Any = entry(recipe, "model", "stem") or ("small" if small else "imagenet")
    return ModelRecipe(arch=str(arch), width=width, stem=stem)


def _with_head(model: ModelRecipe, found: Found, source: Path) -> ModelRecipe:
    """Add the projection head that the weights tell of."""
    told = head_of(found.heads[0])
    if told is None:
        raise CheckpointError(
            f"{source} must hold a projection head of one linear layer, of two, or SimCLR's, got "
            f"{few(list(found.heads[0])) or 'no head'}: read out the pooled features instead"
        )
    kind: Any = told[0]
    return replace(model, head=kind, head_layers=told[1], dim=told[2])


def _network(
    model: ModelRecipe,
    weights: dict[str, Tensor],
    head: dict[str, Tensor],
    source: Path,
    output: Output,
) -> nn.Module:
    """Build a trunk, with its head if that is asked for, and fill it."""
    channels = weights["conv1.weight"].shape[1] if "conv1.weight" in weights else 3
    try:
        network = bare_encoder(model, channels=channels)
    except RecipeError as error:
        raise CheckpointError(f"{source}: {error}") from error
    if output == "pooled":
        network.fc = nn.Identity()
    else:
        if model.head == "linear":  # PyContrast numbers the layers of this head, too
            head = {name.removeprefix("0."): value for name, value in head.items()}
        weights = weights | {f"fc.{name}": value for name, value in head.items()}
    _fill(network, weights, f"{source} as a {model.arch} with the {model.stem} stem")
    return network


def checkpoint_file(path: Path) -> Path:
    """Find the file that a path stands for.

    Parameters
    ----------
    path : Path
        A checkpoint, or the folder of a run.

    Returns
    -------
    Path
        The file; of a run, its newest checkpoint.

    Raises
    ------
    CheckpointError
        If the run has none.
    """
    return newest_checkpoint(path) if path.is_dir() else path


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
