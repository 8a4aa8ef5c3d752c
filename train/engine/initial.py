"""The weights that a run begins with: of any program's file, into the networks of a method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from dilo.pipeline.common.printing import counted
from dilo.pipeline.errors import CheckpointError, first_few
from dilo.pipeline.images.names import escaped
from dilo.pipeline.saliency.weights import weights_digest
from dilo.train.engine.checkpoint import checkpoint_file
from dilo.train.methods.base import Method
from dilo.train.networks.timm_encoder import TIMM
from dilo.train.recipes.recipe import ModelRecipe, Recipe
from dilo.train.weights.architecture import infer_model
from dilo.train.weights.formats import read_weights
from dilo.train.weights.layouts import (
    CheckpointWeights,
    find_average,
    find_backbones,
    head_of,
    layout_of,
    nested_get,
    unnumbered,
)
from dilo.train.weights.loading import load_weights
from dilo.train.weights.torchfile import shown

#: Digits of a digest that are shown.
DIGITS = 12
_COUNTER = "num_batches_tracked"

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class InitialWeights:
    """A file that a run begins with."""

    #: What the user named: the file, or a run.
    given: Path
    #: Of a run, its newest checkpoint.
    file: Path
    #: SHA-256 of the file.
    sha256: str

    @classmethod
    def find(cls, path: Path) -> "InitialWeights":
        """Find the file that a path stands for, and digest it."""
        file = checkpoint_file(path)
        if not file.is_file():
            raise CheckpointError(
                f"--init {path} must be a file of weights or the folder of a run, got "
                f"{'a pipe or a device' if file.exists() else 'nothing there'}: check the path"
            )
        return cls(path, file, weights_digest(file, "--init"))

    @property
    def name(self) -> str:
        """Name the file, and the run that it is of, wherever they lie."""
        file = self.file.resolve()
        of_run = file.parent.name == "checkpoints"
        return escaped("/".join(file.parts[-3:] if of_run else file.parts[-1:]))


def load_initial(
    initial: InitialWeights, method: Method, recipe: Recipe
) -> tuple[dict[str, Any], list[str]]:
    """Fill the networks of a method.

    Returns what a checkpoint and run.json say of it, and the same in lines.
    """
    content = read_weights(initial.file)
    model, source = recipe.model, initial.file
    arch = model.arch if model.arch.startswith(TIMM) else None
    weights = find_backbones(content, source, arch, arch_option="--set model.arch")
    _require_streams(initial, weights, method, recipe)
    requirement = (
        f"--init {initial.given} as a {model.arch} with the {model.stem} stem and width "
        f"{model.width:g} must have all its layers"
    )
    advice = _advice(content, weights, source, model)
    heads = [unnumbered(head) for head in weights.heads]
    encoders = method.encoders()
    fits = [_fits(encoder, head) for encoder, head in zip(encoders, heads, strict=True)]
    for encoder, backbone, head, fit in zip(encoders, weights.backbones, heads, fits, strict=True):
        _fill(encoder, backbone, head if fit else {}, requirement, advice)
    parts = {
        "backbone": _arrays(weights.backbones),
        "head": _arrays(heads) if all(fits) else _new_head(heads[0], encoders[0]),
    }
    if keys := method.key_encoders():
        average = find_average(content, arch)
        parts["key encoder"] = _fill_keys(keys, encoders, average, requirement, advice)
    layout = layout_of(content, weights)
    taken = "; ".join(f"{part}: {words}" for part, words in parts.items())
    record = {"file": initial.name, "sha256": initial.sha256, "layout": layout, "taken": taken}
    lines = [
        f"--init: begins with {initial.name} (SHA-256 {initial.sha256[:DIGITS]}), laid out as by "
        f"{layout}",
        taken,
        f"new: the optimiser, the schedule from epoch 0{_others(method)}",
    ]
    return record, lines + _colour_notes(content, weights, recipe)


def _require_streams(
    initial: InitialWeights, weights: CheckpointWeights, method: Method, recipe: Recipe
) -> None:
    """Refuse a pair of networks for one, one for a pair, and half of a pair."""
    one, pair = "one network of RGB", "a pair of luminance and of colours, as CMC's"
    trained = {1: one, 2: pair}.get(len(method.encoders()), "more networks than any file")
    got = {(3,): one, (1, 2): pair}.get(weights.channels, "one half of a pair, as CMC's")
    if got != trained:
        raise CheckpointError(
            f"--init {initial.given} must hold {trained}, as method {recipe.method} trains, got "
            f"{got}: take another file, or another method"
        )


def _advice(content: object, weights: CheckpointWeights, source: Path, model: ModelRecipe) -> str:
    """Say what to set for a file's network, as far as it tells of that."""
    try:
        of_file = infer_model(content, weights, source)
    except CheckpointError:
        return "take other weights"
    pairs = [(key, getattr(of_file, key)) for key in ("arch", "stem", "width")]
    changes = [
        f"--set model.{key}={value:g}" if key == "width" else f"--set model.{key}={value}"
        for key, value in pairs
        if value != getattr(model, key)
    ]
    return f"give {' '.join(changes)}, or take other weights" if changes else "take other weights"


def _fill(
    encoder: nn.Module, backbone: Weights, head: Weights, requirement: str, advice: str
) -> None:
    """Fill a backbone, and its head if there is one to take, else that stays as it is."""
    named = {f"fc.{name}": value for name, value in (head or _head(encoder)).items()}
    load_weights(encoder, backbone | named, requirement, advice)


def _fill_keys(
    keys: Sequence[nn.Module],
    encoders: Sequence[nn.Module],
    average: CheckpointWeights | None,
    requirement: str,
    advice: str,
) -> str:
    """Fill the key encoders with a file's average, or with what the encoders have; say which."""
    for key, encoder in zip(keys, encoders, strict=True):
        key.load_state_dict(encoder.state_dict())
    if average is None or len(keys) > 1:
        return "not in the file, a copy of the encoder"
    head = unnumbered(average.heads[0])
    head = head if _fits(keys[0], head) else {}
    _fill(keys[0], average.backbones[0], head, requirement, advice)
    return _arrays([average.backbones[0], head])


def _fits(encoder: nn.Module, head: Weights) -> bool:
    """Check whether a head is of the kind and size that a network ends in."""
    own, other = (
        {name: value.shape for name, value in tensors.items() if not name.endswith(_COUNTER)}
        for tensors in (_head(encoder), head)
    )
    return own == other


def _head(encoder: nn.Module) -> Weights:
    """Return the tensors of a network's head, by their names after ``fc.``."""
    state: Weights = cast(nn.Module, encoder.fc).state_dict()
    return state


def _arrays(states: Sequence[Mapping[str, Tensor]]) -> str:
    """Count the arrays of networks."""
    return counted(sum(map(len, states)), "array")


def _new_head(head: Weights, encoder: nn.Module) -> str:
    """Say why the head is not taken."""
    if not head:
        return "not in the file, new"
    return f"new, for the file's is {_head_words(head)}, this run's {_head_words(_head(encoder))}"


def _head_words(head: Weights) -> str:
    """Describe a head."""
    described = head_of(head)
    return (
        f"{described[0]} with {described[2]} outputs"
        if described
        else f"of {shown(first_few(list(head)))}"
    )


def _others(method: Method) -> str:
    """Name what a method keeps beside its networks."""
    networks = {id(network) for network in (*method.encoders(), *method.key_encoders())}
    filled = [name for name, module in method.named_modules() if id(module) in networks]
    others = [
        name
        for name in method.state_dict()
        if not any(name.startswith(f"{network}.") for network in filled)
    ]
    return f", {first_few(others)}" if others else ""


def _colour_notes(content: object, weights: CheckpointWeights, recipe: Recipe) -> list[str]:
    """Warn of weights that saw other colours than the recipe's views have."""
    recorded = nested_get(content, "dilo", "recipe", "views", "space")
    space = recorded if isinstance(recorded, str) else weights.space
    if space == recipe.views.space:
        return []
    return [
        f"warning: as far as the file tells, its network saw views.space = {shown(space)}; the "
        f"recipe has {recipe.views.space}"
    ]
