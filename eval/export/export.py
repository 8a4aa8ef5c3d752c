"""A backbone for other programs: torchvision, timm, detectron2, safetensors, MoCo's own scripts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dilo.eval.export.model_card import card_of, json_copy, write_card
from dilo.eval.models.encoder import Encoder
from dilo.eval.models.two_stream import SingleStream, TwoStream
from dilo.pipeline.common.files import atomic_write
from dilo.pipeline.errors import DiloError
from dilo.train.networks.timm_encoder import TIMM, TimmEncoder
from dilo.train.recipes.recipe import ARCHITECTURES
from dilo.train.weights.detectron2 import to_detectron2, write_arrays
from dilo.train.weights.formats import METADATA_KEY

Weights = dict[str, Tensor]

Metadata = dict[str, Any]

#: For whom a backbone can be written.
FORMATS = ("torchvision", "timm", "detectron2", "safetensors", "moco")


#: What MoCo's scripts look for.
_MOCO = "module.encoder_q."


def export(encoder: Encoder, form: str, out: Path, *, half: str | None = None) -> dict[str, Any]:
    """Write a backbone as another program reads it, and a card beside it; return the card.

    `form` is one of `FORMATS`; of a pair, `half` says which backbone.
    """
    backbone, channels = _backbone(encoder, half)
    weights = _weights(backbone)
    if form in ("timm", "detectron2"):
        _require_stem(weights, form)
    if form not in ("timm", "safetensors"):
        _require_resnet(encoder, form)
    if out.exists() and out.samefile(encoder.source):
        raise DiloError(f"--out must be another file than the checkpoint, got {out}")
    with atomic_write(out) as part:
        tensors = _WRITERS[form](weights, _metadata(encoder), part)
    card = card_of(encoder, backbone, form, out, tensors=tensors, channels=channels)
    write_card(card, out)
    return card


def _backbone(encoder: Encoder, half: str | None) -> tuple[nn.Module, int]:
    """Return the network, or that of a half, and the channels that it sees."""
    network = encoder.network
    if isinstance(network, TwoStream) != bool(half):
        raise DiloError(
            f"{encoder.source} holds two backbones, of luminance and of colours: give "
            "--half l or ab"
            if half is None
            else f"{encoder.source} holds one backbone: leave --half out"
        )
    if isinstance(network, TwoStream):
        return (network.l_to_ab, 1) if half == "l" else (network.ab_to_l, 2)
    return (
        (network.network, network.channels) if isinstance(network, SingleStream) else (network, 3)
    )


def _weights(backbone: nn.Module) -> Weights:
    """Return the tensors, under torchvision's names or timm's, without a head."""
    if isinstance(backbone, TimmEncoder):
        state = backbone.trunk.state_dict()
    else:
        state = {k: value for k, value in backbone.state_dict().items() if not k.startswith("fc.")}
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def _require_stem(weights: Weights, form: str) -> None:
    """Refuse the stem for small images, which the others do not have."""
    side = weights["conv1.weight"].shape[-1] if "conv1.weight" in weights else 7
    if side != 7:
        raise DiloError(
            f"--format {form} is for the stem of ImageNet, 7 x 7, got one of {side} x {side}: "
            f"give --format torchvision, and build the network with "
            f"dilo.train.networks.encoder.resnet"
        )


def _require_resnet(encoder: Encoder, form: str) -> None:
    """Refuse networks that timm alone has."""
    if encoder.model.arch.removeprefix(TIMM) not in ARCHITECTURES:
        raise DiloError(
            f"--format {form} is for {', '.join(ARCHITECTURES)}, got {encoder.model.arch}: "
            "give --format timm or safetensors"
        )


def _metadata(encoder: Encoder) -> Metadata:
    """Say what the network is and saw, where our checkpoints do, so that it comes back so."""
    recipe = json_copy(encoder.recipe)
    views = recipe.get("views")
    views = views if isinstance(views, dict) else {}
    recipe["views"] = views | {"size": encoder.size, "space": encoder.space}
    data = {name: value for name, value in encoder.training.items() if name != "epoch"}
    return {
        "arch": encoder.model.arch,
        "epoch": encoder.training.get("epoch"),
        "dilo": {"step": encoder.step, **data, "recipe": recipe},
    }


def _write_torch(weights: Weights, metadata: Metadata, path: Path) -> int:
    """Write a bare state dict, to which nothing can be added; count its tensors."""
    torch.save(weights, path)
    return len(weights)


def _write_moco(weights: Weights, metadata: Metadata, path: Path) -> int:
    """Write what MoCo's linear script and detection converter read; they take no more of it."""
    state = {_MOCO + name: value for name, value in weights.items()}
    torch.save(metadata | {"state_dict": state}, path)
    return len(state)


def _write_detectron2(weights: Weights, metadata: Metadata, path: Path) -> int:
    """Write the pickle of MoCo's converter, for numpy of any version."""
    named = {name: value.numpy() for name, value in to_detectron2(weights).items()}
    write_arrays(path, named, matching_heuristics=True)
    return len(named)


def _write_safetensors(weights: Weights, metadata: Metadata, path: Path) -> int:
    """Write without pickle."""
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise DiloError(
            "--format safetensors needs the package safetensors: pip install 'dilo[export]'"
        ) from error
    save_file(weights, path, metadata={"format": "pt", METADATA_KEY: json.dumps(metadata)})
    return len(weights)


_WRITERS: dict[str, Callable[[Weights, Metadata, Path], int]] = {
    "torchvision": _write_torch,
    "timm": _write_torch,
    "detectron2": _write_detectron2,
    "safetensors": _write_safetensors,
    "moco": _write_moco,
}
