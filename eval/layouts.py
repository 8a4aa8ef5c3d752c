"""Whose checkpoint it is, told by its keys: to one trunk's weights, or those of a pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
#: Where PyContrast keeps the heads, which others keep in the trunk, as `fc`.
_HEADS = {
    "module.encoder.": "module.head.",
    "module.encoder1.": "module.head1.",
    "module.encoder2.": "module.head2.",
}
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
    heads : tuple of dict of str to Tensor
        For each trunk what follows it: the names after ``fc.``. Empty where there is none.
    joint : dict of str to Tensor
        What follows both trunks of a pair: a classifier.
    prefix : str
        What stood before the names of the first trunk.
    """

    trunks: tuple[dict[str, Tensor], ...]
    space: str = "rgb"
    heads: tuple[dict[str, Tensor], ...] = ()
    joint: dict[str, Tensor] = field(default_factory=dict)
    prefix: str = ""


def find_trunks(content: object, source: Path) -> Found:
    """Take the tensors of the trained trunks, under torchvision's names, and of their heads.

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
            trunks, heads = zip(*(_parted(tensors, part) for part in (first, second)), strict=True)
            return Found(trunks, space, heads, _under(tensors, "module.fc."), first)
    for prefix in PREFIXES:
        for name in ("conv1.weight", "trunk."):
            if any(key.startswith(prefix + name) for key in tensors):
                trunk, head = _parted(tensors, prefix)
                return Found((trunk,), heads=(head,), prefix=prefix)
    known = ", ".join(f"{prefix}conv1.weight" for prefix in PREFIXES)
    raise CheckpointError(
        f"{source} must hold a ResNet under one of the names {known}; "
        f"got {few(list(tensors)) or 'no tensor'}: rename its keys"
    )


def _parted(
    tensors: Mapping[str, Tensor], prefix: str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Take a trunk under a prefix, and the head that follows it."""
    whole = _under(tensors, prefix)
    trunk = {name: value for name, value in whole.items() if not name.startswith("fc.")}
    return trunk, _under(whole, "fc.") or _under(tensors, _HEADS.get(prefix, "no head"))


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take what stands under a prefix."""
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


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


def head_of(weights: Mapping[str, Tensor]) -> tuple[str, int, int] | None:
    """Tell a projection head by the names of its tensors.

    Parameters
    ----------
    weights : mapping of str to Tensor
        What stands after ``fc.``; PyContrast's linear head is numbered, too.

    Returns
    -------
    tuple of (str, int, int) or None
        Kind, layers and outputs, as `model.head`, `head_layers` and `dim` of a recipe have
        them; None if it is none that is known.
    """
    matrices = [name for name, value in weights.items() if value.ndim == 2]
    if not matrices:
        return None
    dim = weights[matrices[-1]].shape[0]
    if any(name.endswith("running_mean") for name in weights):
        return "simclr", len(matrices), dim
    if len(matrices) <= 2:
        return ("linear", "mlp")[len(matrices) - 1], len(matrices), dim
    return None


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
