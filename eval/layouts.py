"""Whose checkpoint it is, told by its keys: to one trunk's weights, or those of a pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dilo.pipeline.errors import CheckpointError

#: What stands before torchvision's names, most telling first: a MoCo file also has keys
#: that begin with "module." alone.
PREFIXES = (
    "module.encoder_q.",
    "encoder_q.",
    "module.encoder.",
    "encoder.module.",
    "module.",
    "",
)
#: The same for the two trunks of contrastive multiview coding, and the colours they see where
#: the file does not say: the CMC repository's and ours, then PyContrast's.
PAIRS = (
    ("encoder.module.l_to_ab.", "encoder.module.ab_to_l.", "lab"),
    ("module.l_to_ab.", "module.ab_to_l.", "lab"),
    ("l_to_ab.", "ab_to_l.", "lab"),
    ("module.encoder1.", "module.encoder2.", "ydbdr"),
)
#: Blocks of layer3 and tensors of a block, by architecture.
_SHAPES = {(2, 2): "resnet18", (6, 2): "resnet34", (6, 3): "resnet50", (23, 3): "resnet101"}


@dataclass(frozen=True, eq=False)
class Found:
    """The weights of a checkpoint.

    Attributes
    ----------
    trunks : tuple of dict of str to Tensor
        One trunk, or the two of a pair; torchvision's names, without heads.
    space : str
        The colours it sees, as far as the keys tell.
    """

    trunks: tuple[dict[str, Tensor], ...]
    space: str = "rgb"


def find_trunks(content: object, source: Path) -> Found:
    """Take the tensors of the trained trunks, under torchvision's names, without their heads.

    Parameters
    ----------
    content : object
        What the file holds.
    source : Path
        The file.

    Returns
    -------
    Found
        One trunk, or a pair.

    Raises
    ------
    CheckpointError
        If it holds no network under a name known.
    """
    states = (entry(content, "state_dict"), entry(content, "model"), content)
    state = next((state for state in states if isinstance(state, Mapping)), {})
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    for first, second, space in PAIRS:
        if f"{first}conv1.weight" in tensors:
            return Found((_under(tensors, first), _under(tensors, second)), space)
    for prefix in PREFIXES:
        for name in ("conv1.weight", "trunk."):
            if any(key.startswith(prefix + name) for key in tensors):
                return Found((_under(tensors, prefix),))
    known = ", ".join(f"{prefix}conv1.weight" for prefix in PREFIXES)
    raise CheckpointError(
        f"{source} must hold a ResNet under one of the names {known}; "
        f"got {few(list(tensors)) or 'no tensor'}: rename its keys"
    )


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take what stands under a prefix, but the head."""
    names = {key: key.removeprefix(prefix) for key in tensors if key.startswith(prefix)}
    return {name: tensors[key] for key, name in names.items() if not name.startswith("fc.")}


def shape_of(weights: Mapping[str, Tensor]) -> tuple[str | None, float]:
    """Tell architecture and width of a ResNet by its shapes.

    Parameters
    ----------
    weights : mapping of str to Tensor
        A trunk.

    Returns
    -------
    arch : str or None
        None if it is none that is known.
    width : float
        Factor of its channels.
    """
    blocks = {key.split(".")[1] for key in weights if key.startswith("layer3.")}
    convolutions = sum(f"layer1.0.conv{i}.weight" in weights for i in (1, 2, 3))
    first = weights.get("layer1.0.conv1.weight")
    width = 1.0 if first is None else first.shape[0] / 64
    return _SHAPES.get((len(blocks), convolutions)), width


def entry(content: object, *keys: str) -> Any:
    """Walk down nested dictionaries.

    Parameters
    ----------
    content : object
        The outermost.
    *keys : str
        The way.

    Returns
    -------
    object
        What is there; None where the way ends early.
    """
    for key in keys:
        if not isinstance(content, Mapping):
            return None
        content = content.get(key)
    return content


def few(names: Sequence[str]) -> str:
    """List the first three names and count the rest.

    Parameters
    ----------
    names : sequence of str
        All.

    Returns
    -------
    str
        For a sentence.
    """
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
