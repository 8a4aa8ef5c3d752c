"""Files of a linear probe: the classifier for others to read, and the state to resume from."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dilo.eval.common.results import PROBE, beside, is_free
from dilo.eval.models.classifier import CLASSIFIER
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.common.files import atomic_write
from dilo.pipeline.errors import CheckpointError
from dilo.train.weights.loading import PREFIX
from dilo.train.weights.torchfile import read

#: Where a probe stands, beside its result.
STATE = PROBE
#: What is written beside it once the probe has come to its end.
RECORD = "linear.json"
#: Version of that file.
FORMAT_VERSION = 1
#: Steps that no probe takes.
_MOST_STEPS = 2**48


class OtherSettingsError(CheckpointError):
    """A state that a probe with other settings left."""


def write_classifier(
    folder: Path,
    encoder: Encoder,
    layer: tuple[Tensor, Tensor],
    classes: Sequence[str],
    *,
    epoch: int,
    best_acc1: float,
    about: Mapping[str, Any],
) -> Path:
    """Write backbone and linear layer as the MoCo repository's linear script does.

    `layer` is the weight (C, D) and the bias (C,); `best_acc1` the best top-1 of any epoch, in per
    cent; `about` plain values that stand under "dilo" too. `load_classifier` reads the file.
    """
    state = {PREFIX + name: value.cpu() for name, value in encoder.network.state_dict().items()}
    state |= {f"{PREFIX}fc.weight": layer[0].cpu(), f"{PREFIX}fc.bias": layer[1].cpu()}
    content = {
        "epoch": epoch,
        "arch": encoder.model.arch,
        "state_dict": state,
        "best_acc1": best_acc1,
        "dilo": {
            "recipe": _recipe(encoder),
            "step": encoder.step,
            "classes": list(classes),
            "checkpoint": str(encoder.source),
            **about,
        },
    }
    return _save(folder / CLASSIFIER, content)


def _recipe(encoder: Encoder) -> dict[str, Any]:
    """Give the backbone's recipe, with the colours and the size that the layer has seen.

    A checkpoint of another program has no recipe, and its keys, which told the colours, are
    not those of the classifier.
    """
    recipe: dict[str, Any] = dict(encoder.recipe)
    sections = {name: recipe.get(name) for name in ("model", "views")}
    model, views = (dict(s) if isinstance(s, Mapping) else {} for s in sections.values())
    model |= {"arch": encoder.model.arch, "stem": encoder.model.stem, "width": encoder.model.width}
    views |= {"size": encoder.size, "space": encoder.space}
    return recipe | {"model": model, "views": views}


def write_state(folder: Path, settings: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write where a probe stands, and the settings that must be the same to resume."""
    content = {"format": FORMAT_VERSION, "settings": dict(settings), "state": dict(state)}
    _save(folder / STATE, content)


def read_state(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read where a probe stands, None without a state; one of other settings is refused."""
    path = folder / STATE
    if not path.exists():
        return None
    content = read(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} must be written by this version of dilo-eval linear: give another --out"
        )
    had, state = content.get("settings"), content.get("state")
    if not isinstance(had, dict) or not isinstance(state, dict):
        raise CheckpointError(f"{path} must hold settings and a state: give another --out")
    for name in (*settings, *(name for name in had if name not in settings)):
        if had.get(name) != settings.get(name):
            was, now = had.get(name), settings.get(name)
            raise OtherSettingsError(
                f"{path} was made with {name} = {was!r}, asked for {now!r}: a probe "
                "resumes only with the settings it began with; give the same, or another --out for "
                "a new one"
            )
    step = state.get("step")
    if type(step) is not int or not 0 <= step < _MOST_STEPS:
        raise CheckpointError(f"{path} must say which step it is of: give another --out")
    return state


def fitting_folder(
    folder: Path, settings: Mapping[str, Any], say: Callable[[str], None], name: str = ""
) -> Path:
    """Choose a folder in which no other probe stands.

    That is `folder`, or ``FOLDER-NAME``, ``FOLDER-NAME-2`` and so on beside it. A probe with other
    settings that has not come to its end is refused: it waits to be resumed.
    """
    for candidate in beside(folder, name):
        if is_free(candidate, given=False):
            break
        try:
            if read_state(candidate, settings) is not None:
                break
        except OtherSettingsError:
            if not (candidate / RECORD).exists():
                raise  # it waits to be resumed, and its run may have a newer checkpoint since
    if candidate != folder:
        say(
            f"{folder} holds a probe of other images, weights or settings, which is kept: "
            f"this one goes to {candidate}"
        )
    return candidate


def _save(path: Path, content: Mapping[str, Any]) -> Path:
    """Publish a file of torch.save."""
    try:
        with atomic_write(path) as part:
            torch.save(dict(content), part)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter on a full disk
        raise CheckpointError(
            f"{path} cannot be written: {error}: make room and run the same command to resume"
        ) from error
    return path
