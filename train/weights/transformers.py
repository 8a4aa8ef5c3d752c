"""Vision transformers in files of DINO, DINOv2 and timm: found by their keys, sized by shapes."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dilo.pipeline.errors import CheckpointError, first_few
from dilo.train.networks.vit import VisionTransformer, VitShape, is_square
from dilo.train.weights.layouts import State, label_of, list_states, names_average, same_weights
from dilo.train.weights.loading import load_weights
from dilo.train.weights.torchfile import shown

#: Names that a vision transformer has, after one prefix.
_PATCHES = re.compile(r"(?P<prefix>(?:.*\.)?)patch_embed\.proj\.weight")
_ATTENTION = "blocks.0.attn.qkv.weight"
_BLOCK = re.compile(r"blocks\.(\d+)\.")
#: What stands beside the layers of the network, and is not needed for features.
_HEADS = re.compile(r"(?:head|fc_head|pre_logits|predictor|projector)\.")
_UNUSED = re.compile(r"(?:mask_token$|decoder_|mask_tokens$)")
#: What others call layers of ours.
_RENAMED = (("register_tokens", "reg_token"), (".mlp.w12.", ".mlp.fc1."), (".mlp.w3.", ".mlp.fc2."))
#: Marks of DINOv3, in files of its authors and of timm.
_ROTARY = re.compile(r"(?:rope_embed\.|storage_tokens$|blocks\.0\.gamma_1$)")
#: Channels of a head in all of DINO's and DINOv2's, and the widths that say nothing of it: wider
#: networks by others have heads of 72 to 104 channels.
_HEAD = 64
_MAX_WIDTH, _GIANT = 1024, 1536


@dataclass(frozen=True, eq=False)
class TransformerWeights:
    """A vision transformer of a file."""

    #: Under the names of `VisionTransformer`.
    tensors: dict[str, Tensor]
    #: The sizes that they tell.
    shape: VitShape
    #: Where in the file it lies: "teacher.backbone"; empty at the top.
    place: str
    #: Whether it is laid out as DINO's own files are, of the ICCV 2021 paper: at the top or under
    #: "teacher", with neither a classifier, registers nor layer scale.
    is_dino: bool


def find_transformer(content: object, source: Path) -> TransformerWeights | None:
    """Take the weights of a vision transformer whose layers are DINO's or DINOv2's.

    Parameters
    ----------
    content : object
        Of a file, as `dilo.train.weights.formats.read_weights` gives it.
    source : Path
        The file, for messages.

    Returns
    -------
    TransformerWeights or None
        Of a file with a teacher the teacher's; of a network and its moving average the network's.
        None where no such layers are.

    Raises
    ------
    CheckpointError
        If there are several networks, or one that is only like DINO's: with rotary positions as
        DINOv3's, or with heads that no shape tells.
    """
    places = [
        (state, prefix)
        for state in list_states(content)
        for prefix in sorted(_prefixes(state.tensors))
    ]
    teachers = [place for place in places if "teacher" in label_of(*place).split(".")]
    own = [place for place in places if not names_average(label_of(*place))]
    candidates: list[TransformerWeights] = []
    for place in teachers or own or places:
        weights = _transformer(*place, source)
        if not any(same_weights(weights.tensors, other.tensors) for other in candidates):
            candidates.append(weights)
    if len(candidates) > 1:
        labels = [shown(weights.place) or "the top" for weights in candidates]
        raise CheckpointError(
            f"{source} must hold one vision transformer, got {len(labels)}, in "
            f"{first_few(labels)}: save the one that is meant alone"
        )
    return candidates[0] if candidates else None


def load_transformer(weights: TransformerWeights, source: Path) -> VisionTransformer:
    """Build a vision transformer and fill it; it is frozen, in eval mode.

    Parameters
    ----------
    weights : TransformerWeights
        As `find_transformer` gives them.
    source : Path
        Their file, for messages.

    Returns
    -------
    VisionTransformer
        On the CPU.

    Raises
    ------
    CheckpointError
        If they are not exactly its layers.
    """
    with torch.device("meta"):  # no memory beside what the file holds
        network = VisionTransformer(weights.shape)
    requirement = f"{source} must have all layers of a vision transformer of DINO or DINOv2"
    advice = "name a network of timm's with --arch timm:NAME, or take another checkpoint"
    load_weights(network, weights.tensors, requirement, advice)
    return network.eval().requires_grad_(False)


def _prefixes(tensors: Mapping[str, Tensor]) -> set[str]:
    """List the prefixes under which a vision transformer lies."""
    matches = (_PATCHES.fullmatch(name) for name in tensors)
    prefixes = {match["prefix"] for match in matches if match}
    return {prefix for prefix in prefixes if prefix + _ATTENTION in tensors}


def _transformer(state: State, prefix: str, source: Path) -> TransformerWeights:
    """Take one vision transformer, under our names."""
    layers = {
        name.removeprefix(prefix): value
        for name, value in state.tensors.items()
        if name.startswith(prefix)
    }
    if any(_ROTARY.match(name) for name in layers):
        raise CheckpointError(
            f"{source} has rotary positions, as DINOv3, which is read by timm alone: give the "
            "file that timm has of it, and --arch timm:NAME, such as "
            "timm:vit_small_patch16_dinov3"
        )
    has_head = any(_HEADS.match(name) for name in layers)
    tensors: dict[str, Tensor] = {}
    for name, value in layers.items():
        if _HEADS.match(name) or _UNUSED.match(name):
            continue
        for theirs, ours in _RENAMED:
            name = name.replace(theirs, ours)
        tensors[name] = value
    positions = tensors.get("pos_embed")
    if positions is not None and positions.ndim == 3 and is_square(positions.shape[1]):
        # Of the patches alone, as timm keeps those of DINOv2 with registers.
        none = torch.zeros_like(positions[:, :1])
        tensors["pos_embed"] = torch.cat([none, positions], 1)
    place = label_of(state, prefix)
    shape = _shape_of(tensors, place, source)
    plain = not (has_head or shape.registers or shape.layer_scale)
    is_dino = plain and place.split(".")[0] in ("", "teacher")
    return TransformerWeights(tensors, shape, place, is_dino)


def _shape_of(tensors: Mapping[str, Tensor], place: str, source: Path) -> VitShape:
    """Tell the sizes of a vision transformer."""
    patches, positions = tensors["patch_embed.proj.weight"], tensors.get("pos_embed")
    last = tensors.get("blocks.0.mlp.fc2.weight")
    first = tensors.get("blocks.0.mlp.fc1.weight")
    if (
        patches.ndim != 4
        or 0 in patches.shape
        or positions is None
        or positions.ndim != 3
        or not is_square(positions.shape[1] - 1)
        or last is None
        or last.ndim != 2
        or first is None
        or first.ndim != 2
    ):
        raise CheckpointError(
            f"{source} must hold a vision transformer as DINO and DINOv2 have them, with positions "
            "of a square of patches and an MLP of two layers, got another: name a network of "
            "timm's with --arch timm:NAME"
        )
    width, hidden = patches.shape[0], last.shape[1]
    registers = tensors.get("reg_token")
    numbers = {int(match[1]) for name in tensors if (match := _BLOCK.match(name))}
    return VitShape(
        width=width,
        depth=len(numbers),
        heads=_heads(width, place, source),
        patch=patches.shape[-1],
        grid=math.isqrt(positions.shape[1] - 1),
        hidden=hidden,
        registers=registers.shape[1] if registers is not None and registers.ndim == 3 else 0,
        layer_scale="blocks.0.ls1.gamma" in tensors,
        gated=first.shape[0] == 2 * hidden,
    )


def _heads(width: int, place: str, source: Path) -> int:
    """Count the heads, which no shape tells."""
    if place.split(".")[-1] == "base_encoder" and width == 384:
        return 12  # of MoCo v3's small one, alone among those of this width
    if width % _HEAD or (width > _MAX_WIDTH and width != _GIANT):
        raise CheckpointError(
            f"{source} must hold a vision transformer with heads of {_HEAD} channels, as DINO and "
            f"DINOv2 have them, got one of {width} channels, whose heads nothing tells: name a "
            "network of timm's with --arch timm:NAME"
        )
    return width // _HEAD
