"""Whose checkpoint it is, told by its keys: to one trunk's weights, or those of a pair."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from dilo.eval.checkpoints import detectron2
from dilo.pipeline.errors import CheckpointError, few
from dilo.train.timm_encoder import TIMM

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
#: Under which name a network of timm's keeps its trunk, in ours.
_TRUNK = "trunk."
#: Blocks of layer3 and tensors of a block, by architecture.
_SHAPES = {(2, 2): "resnet18", (6, 2): "resnet34", (6, 3): "resnet50", (23, 3): "resnet101"}


@dataclass(frozen=True, eq=False)
class Found:
    """The weights of a checkpoint.

    Attributes
    ----------
    trunks : tuple of dict of str to Tensor
        One trunk, or the two of a pair; torchvision's names, or timm's after ``trunk.``, without
        heads.
    channels : tuple of int
        For each trunk: of its input.
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
    channels: tuple[int, ...] = (3,)
    space: str = "rgb"
    heads: tuple[dict[str, Tensor], ...] = ()
    joint: dict[str, Tensor] = field(default_factory=dict)
    prefix: str = ""


def find_trunks(content: object, source: Path, arch: str | None = None) -> Found:
    """Take the tensors of the trained trunks, under torchvision's names, and of their heads.

    Parameters
    ----------
    content : object
        What the file holds.
    source : Path
        The file.
    arch : str, optional
        Name of the network, by which timm's are told; by default what the file says.

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
    of_timm = _timm_names(arch or said_arch(content) or "")
    firsts, classifiers = of_timm or (["conv1"], ["fc"])
    if of_timm is None and detectron2.MARK in tensors:
        tensors = detectron2.from_detectron2(tensors)
    for first, second, space in PAIRS:
        if any(_begins(tensors, first + mark) for mark in ("conv1.weight", _TRUNK)):
            trunks, heads = zip(*(_parted(tensors, part) for part in (first, second)), strict=True)
            joint = _under(tensors, "module.fc.")
            return Found(trunks, (1, 2), space, heads, joint, first)
    for prefix in PREFIXES:
        if _begins(tensors, prefix + _TRUNK):
            trunk, head = _parted(tensors, prefix)
        elif any(f"{prefix}{name}.weight" in tensors for name in firsts):
            trunk, head = _parted(tensors, prefix, classifiers)
            if of_timm:
                trunk = {_TRUNK + name: value for name, value in trunk.items()}
        else:
            continue
        return _single(trunk, head, prefix, firsts)
    if not firsts:  # what no name tells, building the network will, or refuse in words
        trunk, head = _parted(tensors, "", classifiers)
        return Found(({_TRUNK + name: value for name, value in trunk.items()},), heads=(head,))
    known = ", ".join(f"{prefix}{firsts[0]}.weight" for prefix in PREFIXES)
    raise CheckpointError(
        f"{source} must hold a {'ResNet' if of_timm is None else arch or said_arch(content)} under "
        f"one of the names {known}; got {few(list(tensors)) or 'no tensor'}: rename its keys, or "
        "name another architecture with --arch"
    )


def said_arch(content: object) -> str | None:
    """Read which network a file says it is of.

    Parameters
    ----------
    content : object
        What the file holds.

    Returns
    -------
    str or None
        A name that need not be of any network we know.
    """
    told = (entry(content, "arch"), entry(content, "dilo", "recipe", "model", "arch"))
    return next((name for name in told if isinstance(name, str) and name), None)


def _single(
    trunk: dict[str, Tensor], head: dict[str, Tensor], prefix: str, firsts: Sequence[str]
) -> Found:
    """Tell the channels that one trunk sees: fewer than three are the half of a pair, in Lab."""
    names = (f"{before}{name}.weight" for name in firsts for before in ("", _TRUNK))
    first = next((trunk[name] for name in names if name in trunk), None)
    half = first is not None and first.ndim == 4 and first.shape[1] in (1, 2)
    channels, space = (first.shape[1], "lab") if first is not None and half else (3, "rgb")
    return Found((trunk,), (channels,), space, (head,), prefix=prefix)


def _timm_names(arch: str) -> tuple[list[str], list[str]] | None:
    """Ask timm how the first layers and the classifiers of a network of its are called."""
    if not arch.startswith(TIMM):
        return None
    name = arch.removeprefix(TIMM)
    try:
        timm: Any = importlib.import_module("timm")
    except ImportError:
        return [], []
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    first, classifier = getattr(config, "first_conv", None), getattr(config, "classifier", None)
    return _listed(first), _listed(classifier)


def _listed(names: str | Sequence[str] | None) -> list[str]:
    """List what timm gives as one name, several or none."""
    return [names] if isinstance(names, str) else list(names or ())


def _parted(
    tensors: Mapping[str, Tensor], prefix: str, classifiers: Sequence[str] = ("fc",)
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Take a trunk under a prefix, and the head that follows it; of several heads, none."""
    whole = _under(tensors, prefix)
    ends = tuple(f"{name}." for name in classifiers or ("fc",))
    trunk = {name: value for name, value in whole.items() if not name.startswith(ends)}
    head = _under(whole, ends[0]) if len(ends) == 1 else {}
    return trunk, head or _under(tensors, _HEADS.get(prefix, "no head"))


def _begins(tensors: Mapping[str, Tensor], prefix: str) -> bool:
    """Tell whether any name begins so."""
    return any(name.startswith(prefix) for name in tensors)


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
    names = ("layer1.0.conv1.weight", "layer1.0.bn1.weight")  # either may be what is missing
    width = next((weights[name].shape[0] / 64 for name in names if name in weights), 1.0)
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
