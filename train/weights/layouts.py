"""Whose checkpoint it is, told by its keys: to one backbone's weights, or those of a pair."""

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dilo.pipeline.errors import CheckpointError, first_few
from dilo.train.networks.timm_encoder import TIMM
from dilo.train.weights import detectron2
from dilo.train.weights.loading import unwrapped
from dilo.train.weights.torchfile import shown

#: A part of a name that says: a moving average of another network in the same file.
_AVERAGE = re.compile(r"(?:^|_)(?:ema|momentum|swa|averaged?|target)(?:_|$)|^encoder_k$", re.I)


#: Dictionaries in dictionaries: how deep weights are looked for.
_DEEPEST = 4


#: The two backbones of contrastive multiview coding, and the colours they see where the file does
#: not say: the CMC repository's and ours, then PyContrast's.
PAIRS = (
    ("encoder.l_to_ab.", "encoder.ab_to_l.", "lab"),
    ("l_to_ab.", "ab_to_l.", "lab"),
    ("encoder1.", "encoder2.", "ydbdr"),
)


#: Where PyContrast keeps the heads, which others keep in the backbone, as `fc`.
_HEADS = {"encoder.": "head.", "encoder1.": "head1.", "encoder2.": "head2."}


#: Who keeps a backbone under which prefix.
_PROGRAMS = {
    "encoder_q.": "MoCo",
    "encoder_q.0.": "mmselfsup",
    "base_encoder.": "MoCo v3",
    "encoder.l_to_ab.": "CMC",
    "l_to_ab.": "dilo",
    "encoder1.": "PyContrast",
    "encoder.": "PyContrast, CMC or SimSiam",
    "backbone.": "lightly, solo-learn or mmselfsup",
}


#: What MoCo calls its negatives; what others call theirs: InstDisc, CMC, and PyContrast's CMC.
_QUEUE = ("queue",)
_NEGATIVES = (_QUEUE, ("memory",), ("memory_l", "memory_ab"), ("memory_1", "memory_2"))


#: What else stands beside the layers of a backbone that ends in no `fc` alone.
_BESIDE = re.compile(
    r"(?:proj|pred|prototyp|classif|head|queue|memory|center|neck|linear|n_averaged)"
)


#: Names that a whole ResNet has, after one prefix; and in a Sequential of its children.
_RESNET = re.compile(r"(?P<prefix>(?:.*\.)?)conv1\.weight")


_LAYER = re.compile(r"(?P<prefix>(?:.*?\.)??)layer1\.")


_NUMBERED = re.compile(r"(?P<prefix>(?:.*\.)?)4\.0\.conv1\.weight")


_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


_MARKED = re.compile(r"(?P<prefix>(?:.*?\.)??)trunk\.")


#: Under which name a network of timm's keeps its backbone, in ours.
_TRUNK = "trunk."


#: Blocks of layer3 and tensors of a block, by architecture.
_SHAPES = {(2, 2): "resnet18", (6, 2): "resnet34", (6, 3): "resnet50", (23, 3): "resnet101"}


@dataclass(frozen=True, eq=False)
class CheckpointWeights:
    """The weights of a checkpoint."""

    #: One backbone, or the two of a pair; torchvision's names, or timm's after ``trunk.``, without
    #: heads.
    backbones: tuple[dict[str, Tensor], ...]
    #: For each backbone, of its input.
    channels: tuple[int, ...] = (3,)
    #: The colours it sees, as far as the keys tell.
    space: str = "rgb"
    #: For each backbone what follows it: the names after ``fc.``. Empty where there is none.
    heads: tuple[dict[str, Tensor], ...] = ()
    #: What follows both backbones of a pair: a classifier.
    shared_classifier: dict[str, Tensor] = field(default_factory=dict)
    #: What stood before the names of the first backbone.
    prefix: str = ""


@dataclass(frozen=True, eq=False)
class State:
    """The tensors of one dictionary in a file, and where it lies: names with a dot behind each."""

    where: str
    tensors: dict[str, Tensor]


def find_backbones(
    content: object,
    source: Path,
    arch: str | None = None,
    part: str | None = None,
    *,
    arch_option: str = "--arch",
) -> CheckpointWeights:
    """Take the tensors of the trained backbones, under torchvision's names, and of their heads.

    In every dictionary of the file, wrappers are taken out of the names; then the shortest
    prefix counts under which a whole backbone lies. Of a network and its moving average, the
    network is taken. `arch` names the network where the file does not, and `part` where in the
    file it lies, by one or more parts of its place, as "teacher". `arch_option` is how a user
    names another network.
    """
    name = arch or declared_arch(content) or ""
    of_timm = _timm_names(name)
    states = sorted(list_states(content), key=lambda state: names_average(state.where))
    states = [state for state in states if part is None or _states_part(state, part)]
    if pair := next(filter(None, map(_pair, states)), None):
        return pair
    places = [(state, prefix) for state in states for prefix in _prefixes(state.tensors, of_timm)]
    if part is not None:
        places = [place for place in places if _within(part, label_of(*place))]
    places = [place for place in places if not names_average(label_of(*place))] or places
    backbones = _different([(place, _backbone(*place, of_timm)) for place in places])
    if len(backbones) > 1:
        labels = [shown(label_of(*place)) or "the top" for place, _ in backbones]
        raise CheckpointError(
            f"{source} must hold one network, got {len(labels)} whole ones, in "
            f"{first_few(labels)}: take one alone with dilo-eval export --part {labels[0]} "
            "--format torchvision --out FILE, and give that file"
        )
    if backbones:
        return backbones[0][1]
    most = max((state.tensors for state in states), key=len, default={})
    if of_timm and not of_timm[0]:  # what no name tells, building the network will, or refuse
        backbone, head = _parted(most, "", of_timm[1])
        return CheckpointWeights(
            ({_TRUNK + name: value for name, value in backbone.items()},), heads=(head,)
        )
    first = of_timm[0][0] if of_timm else "conv1"
    kind = "ResNet" if of_timm is None else shown(name)
    where = f" in {shown(part)}" if part else ""
    raise CheckpointError(
        f"{source} must hold a {kind} under one prefix{where}, as {first}.weight and its other "
        f"layers; got {first_few([*map(shown, most)]) or 'no tensor'}: rename its keys, "
        f"or name another architecture with {arch_option}"
    )


def find_average(content: object, arch: str | None = None) -> CheckpointWeights | None:
    """Take the moving average of a network, as MoCo's key encoder; None unless there is one."""
    of_timm = _timm_names(arch or declared_arch(content) or "")
    places = [
        (state, prefix)
        for state in list_states(content)
        for prefix in _prefixes(state.tensors, of_timm)
        if names_average(label_of(state, prefix))
    ]
    averages = _different([(place, _backbone(*place, of_timm)) for place in places])
    return averages[0][1] if len(averages) == 1 else None


def find_negatives(content: object) -> tuple[Tensor, ...]:
    """Take what the networks of a file were contrasted with, an embedding a row.

    That is MoCo's queue, which has a column an embedding, or a memory bank; of a pair, the bank of
    each. Empty where a file has none.
    """
    for state in list_states(content):
        for names in _NEGATIVES:
            if all(name in state.tensors for name in names):
                banks = [state.tensors[name] for name in names]
                return tuple(b.T if names == _QUEUE and b.ndim == 2 else b for b in banks)
    return ()


def layout_of(content: object, weights: CheckpointWeights) -> str:
    """Name whose layout a file has, as far as its keys tell."""
    if nested_get(content, "dilo") is not None:
        return "dilo"
    if any(detectron2.MARK in state.tensors for state in list_states(content)):
        return "detectron2"
    if weights.prefix:
        prefix = shown(weights.prefix)
        return _PROGRAMS.get(weights.prefix, f"a program that writes {prefix}*")
    return "timm" if _begins(weights.backbones[0], _TRUNK) else "torchvision"


def declared_arch(content: object) -> str | None:
    """Read which network a file says it is of, as text that can be shown."""
    names = (nested_get(content, "arch"), nested_get(content, "dilo", "recipe", "model", "arch"))
    return next((shown(name) for name in names if isinstance(name, str) and name), None)


def list_states(content: object, where: str = "", depth: int = 0) -> Iterator[State]:
    """List the dictionaries of a file that hold tensors, with names that no wrapper is in."""
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield State(where, unwrapped(tensors))
    for name, value in content.items():
        if isinstance(name, str):
            yield from list_states(value, f"{where}{name}.", depth + 1)


def names_average(label: str) -> bool:
    """Tell whether a place is that of a moving average."""
    return any(_AVERAGE.search(part) for part in label.split("."))


def label_of(state: State, prefix: str) -> str:
    """Name the place of a backbone."""
    return f"{state.where}{prefix}".rstrip(".")


def _within(part: str, label: str) -> bool:
    """Tell whether a place has these parts in its name, in this order, side by side."""
    return f".{part.strip('.')}." in f".{label}."


def _states_part(state: State, part: str) -> bool:
    """Tell whether anything in a dictionary lies in a part of a file."""
    first = part.strip(".").partition(".")[0]
    return _within(part, state.where.rstrip(".")) or any(
        first in f"{state.where}{name}".split(".") for name in state.tensors
    )


def _pair(state: State) -> CheckpointWeights | None:
    """Take two backbones, where they lie side by side."""
    for first, second, space in PAIRS:
        if all(
            any(_begins(state.tensors, side + mark) for mark in ("conv1.weight", _TRUNK))
            for side in (first, second)
        ):
            parts = [_parted(state.tensors, side, None) for side in (first, second)]
            backbones, heads = zip(*parts, strict=True)
            return CheckpointWeights(
                backbones, (1, 2), space, heads, _under(state.tensors, "fc."), first
            )
    return None


def _prefixes(
    tensors: Mapping[str, Tensor], of_timm: tuple[list[str], list[str]] | None
) -> list[str]:
    """List the prefixes under which a whole backbone lies, but none within another backbone."""
    prefixes = _matched(_MARKED.match, tensors)
    if of_timm is not None:
        for first in of_timm[0]:
            last = re.compile(rf"(?P<prefix>(?:.*\.)?){re.escape(first)}\.weight")
            prefixes |= _matched(last.fullmatch, tensors)
    else:
        prefixes |= _matched(_RESNET.fullmatch, tensors) & _matched(_LAYER.match, tensors)
        numbered = _matched(_NUMBERED.fullmatch, tensors)
        prefixes |= {prefix for prefix in numbered if f"{prefix}0.weight" in tensors}
        if detectron2.MARK in tensors:
            prefixes.add("")
    return [
        prefix
        for prefix in sorted(prefixes)
        if not any(prefix != other and prefix.startswith(other) for other in prefixes)
    ]


def _matched(match: Callable[[str], re.Match[str] | None], names: Iterable[str]) -> set[str]:
    """List what stands before a pattern."""
    return {matched["prefix"] for name in names if (matched := match(name))}


def _backbone(
    state: State, prefix: str, of_timm: tuple[list[str], list[str]] | None
) -> CheckpointWeights:
    """Take one backbone, and its head."""
    tensors, classifiers = state.tensors, of_timm[1] if of_timm else ["fc"]
    marked = _begins(tensors, prefix + _TRUNK)
    if of_timm is None and detectron2.MARK in tensors:
        tensors = detectron2.from_detectron2(tensors)
    backbone, head = _parted(tensors, prefix, None if marked else classifiers)
    if of_timm and not marked:
        backbone = {_TRUNK + name: value for name, value in backbone.items()}
    if of_timm is None and not marked:
        if "conv1.weight" not in backbone:
            backbone = _named(backbone)
        backbone = {name: value for name, value in backbone.items() if not _BESIDE.match(name)}
    before = re.sub(r"^(?:model\.)+", "", prefix)
    return _single(backbone, head, before, of_timm[0] if of_timm else ["conv1"])


def _named(backbone: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the children of a ResNet that a Sequential has numbered."""
    parts = ((name.partition("."), value) for name, value in backbone.items())
    return {f"{_CHILDREN.get(number, number)}.{rest}": value for (number, _, rest), value in parts}


def _different(
    backbones: list[tuple[tuple[State, str], CheckpointWeights]],
) -> list[tuple[tuple[State, str], CheckpointWeights]]:
    """Leave out what another place holds too, to the last bit."""
    different: list[tuple[tuple[State, str], CheckpointWeights]] = []
    for place, weights in backbones:
        if not any(
            same_weights(weights.backbones[0], other.backbones[0]) for _, other in different
        ):
            different.append((place, weights))
    return different


def same_weights(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Tell whether two backbones are of the same tensors."""
    return one.keys() == other.keys() and all(
        value is other[name]
        or (
            value.layout == torch.strided == other[name].layout
            and not (value.is_meta or other[name].is_meta)
            and value.dtype == other[name].dtype
            and torch.equal(value, other[name])
        )
        for name, value in one.items()
    )


def _single(
    backbone: dict[str, Tensor], head: dict[str, Tensor], prefix: str, firsts: Sequence[str]
) -> CheckpointWeights:
    """Tell the channels that one backbone sees: fewer than three are the half of a pair, in Lab."""
    names = (f"{before}{name}.weight" for name in firsts for before in ("", _TRUNK))
    first = next((backbone[name] for name in names if name in backbone), None)
    half = first is not None and first.ndim == 4 and first.shape[1] in (1, 2)
    channels, space = (first.shape[1], "lab") if first is not None and half else (3, "rgb")
    return CheckpointWeights((backbone,), (channels,), space, (head,), prefix=prefix)


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
    tensors: Mapping[str, Tensor], prefix: str, classifiers: Sequence[str] | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Take a backbone under a prefix, and the head that follows it; of several heads, none."""
    whole = _under(tensors, prefix)
    ends = tuple(f"{name}." for name in classifiers or ("fc",))
    backbone = {name: value for name, value in whole.items() if not name.startswith(ends)}
    head = _under(whole, ends[0]) if len(ends) == 1 else {}
    return backbone, head or _under(tensors, _HEADS.get(prefix, "no head"))


def _begins(tensors: Mapping[str, Tensor], prefix: str) -> bool:
    """Tell whether any name begins so."""
    return any(name.startswith(prefix) for name in tensors)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take what stands under a prefix."""
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def shape_of(weights: Mapping[str, Tensor]) -> tuple[str | None, float]:
    """Tell architecture (None if it is none that is known) and width of a ResNet by its shapes."""
    blocks = {key.split(".")[1] for key in weights if key.startswith("layer3.")}
    convolutions = sum(f"layer1.0.conv{i}.weight" in weights for i in (1, 2, 3))
    names = ("layer1.0.conv1.weight", "layer1.0.bn1.weight")  # either may be what is missing
    firsts = [weights[name] for name in names if name in weights and weights[name].ndim]
    width = next((first.shape[0] / 64 for first in firsts), 1.0)
    return _SHAPES.get((len(blocks), convolutions)), width


def head_of(weights: Mapping[str, Tensor]) -> tuple[str, int, int] | None:
    """Tell kind, layers and outputs of a projection head by the names of its tensors after ``fc.``.

    They are as `model.head`, `head_layers` and `dim` of a recipe have them; None if it is none
    that is known. PyContrast numbers its linear head, too.
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


def unnumbered(head: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the tensors of a head as ours are, whose one linear layer PyContrast numbers."""
    if head.keys() <= {"0.weight", "0.bias"}:
        return {name.removeprefix("0."): value for name, value in head.items()}
    return head


def nested_get(content: object, *keys: str) -> Any:
    """Walk down nested dictionaries; None where the way ends early."""
    for key in keys:
        if not isinstance(content, Mapping):
            return None
        content = content.get(key)
    return content
