"""A checkpoint to a frozen trunk: ours, and those of the repositories whose key names we share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dilo.pipeline.errors import CheckpointError
from dilo.train.backbones import resnet
from dilo.train.checkpoint import read, steps
from dilo.train.recipe import ARCHITECTURES, ModelRecipe

#: What stands before torchvision's names, most telling first: a MoCo file also has keys
#: that begin with "module." alone
_PREFIXES = (
    "module.encoder_q.",
    "encoder_q.",
    "module.encoder.",
    "encoder.module.",
    "module.",
    "",
)


@dataclass(frozen=True, eq=False)
class Encoder:
    """A frozen trunk and what an evaluation must know of it.

    Attributes
    ----------
    network : Module
        Maps (B, 3, H, W) float32, normalised with ImageNet's statistics, to the pooled
        features (B, D) float32. In eval mode; no parameter requires a gradient.
    size : int
        Side, in pixels, of the images it was trained on.
    source : Path
        The file that the weights came from.
    step : int or None
        Optimiser steps taken, where the file says so.
    """

    network: nn.Module
    size: int
    source: Path
    step: int | None = None


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
        If there is no checkpoint, it is damaged, holds more than tensors and plain
        values, or its weights are not exactly those of the architecture.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020: the key names, and reading out the query encoder.
    """
    source = newest_checkpoint(path) if path.is_dir() else path
    content = read(source)
    weights = _trunk_weights(content, source)
    recipe = _entry(content, "dilo", "recipe")
    arch = arch or _text(_entry(content, "arch")) or _text(_entry(recipe, "model", "arch"))
    if arch not in ARCHITECTURES:
        raise CheckpointError(
            f"{source}: the architecture must be one of {', '.join(ARCHITECTURES)}, "
            f"got {arch}: say it with --arch"
        )
    stem: Any = _entry(recipe, "model", "stem") or (
        "small" if weights["conv1.weight"].shape[-1] == 3 else "imagenet"
    )
    views_size: Any = _entry(recipe, "views", "size")
    network = resnet(ModelRecipe(arch=arch, stem=stem))
    network.fc = nn.Identity()
    _fill(network, weights, f"{source} as a {arch} with the {stem} stem")
    network.eval().requires_grad_(False)
    step: Any = _entry(content, "dilo", "step")
    return Encoder(network, size or views_size or 224, source, step)


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


def _entry(content: object, *keys: str) -> Any:
    """Walk down nested dictionaries; None where the way ends early."""
    for key in keys:
        if not isinstance(content, Mapping):
            return None
        content = content.get(key)
    return content


def _text(value: object) -> str | None:
    """Keep a string, drop anything else that a foreign file may hold in its place."""
    return value if isinstance(value, str) else None


def _trunk_weights(content: object, source: Path) -> dict[str, Tensor]:
    """Take the tensors of the query encoder, under torchvision's names, without the head."""
    states = (_entry(content, "state_dict"), _entry(content, "model"), content)
    state = next((state for state in states if isinstance(state, Mapping)), {})
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    for prefix in _PREFIXES:
        if f"{prefix}conv1.weight" in tensors:
            names = {key: key.removeprefix(prefix) for key in tensors if key.startswith(prefix)}
            return {name: tensors[key] for key, name in names.items() if not name.startswith("fc.")}
    known = ", ".join(f"{prefix}conv1.weight" for prefix in _PREFIXES)
    raise CheckpointError(
        f"{source} must hold a ResNet under one of the names {known}; "
        f"got {_few(list(tensors)) or 'no tensor'}: rename its keys"
    )


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
        found = "; it ".join(f"{verb} {_few(names)}" for verb, names in faults.items() if names)
        raise CheckpointError(
            f"{what} must have all its layers and no others, but it {found}: "
            "name another architecture with --arch, or take another checkpoint"
        )
    network.load_state_dict(weights, strict=False)


def _few(names: Sequence[str]) -> str:
    """List the first three names and count the rest."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
