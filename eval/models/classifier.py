"""A frozen backbone with a linear layer that tells classes: what `linear` trains, and others'."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from dilo.eval.models.encoder import Encoder, encoder_of
from dilo.eval.models.synsets import SYNSETS
from dilo.eval.models.two_stream import SingleStream, TwoStream
from dilo.pipeline.errors import CheckpointError, DiloError, first_few
from dilo.pipeline.images.labels import are_numbers, sorted_classes
from dilo.train.engine.checkpoint import checkpoint_file
from dilo.train.networks.timm_encoder import TimmEncoder
from dilo.train.weights.formats import read_weights
from dilo.train.weights.layouts import CheckpointWeights, find_backbones, nested_get
from dilo.train.weights.loading import load_weights

#: What `dilo-eval linear` calls its file.
CLASSIFIER = "classifier.pth"


@dataclass(frozen=True, eq=False)
class Classifier:
    """A frozen backbone and the linear layer on its pooled features.

    Attributes
    ----------
    encoder : Encoder
        The backbone.
    weight : Tensor of shape (C, D), float32
        One row a class.
    bias : Tensor of shape (C,), float32
        One value a class.
    classes : tuple of str or None
        Names of the classes, where the file says them.
    """

    encoder: Encoder
    weight: Tensor
    bias: Tensor
    classes: tuple[str, ...] | None = None

    def scores(self, images: Tensor) -> Tensor:
        """Score every class.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            RGB in [0, 1], on the device of the network, as are weight and bias.

        Returns
        -------
        Tensor of shape (B, C), float32
            Before the softmax.
        """
        return torch.nn.functional.linear(self.encoder.features(images), self.weight, self.bias)

    def to(self, device: torch.device) -> "Classifier":
        """Move to a device.

        Parameters
        ----------
        device : torch.device
            Where to; the encoder's network is moved in place.

        Returns
        -------
        Classifier
            There.
        """
        self.encoder.network.to(device)
        return Classifier(self.encoder, self.weight.to(device), self.bias.to(device), self.classes)

    def numbers(self, classes: Sequence[str], what: str) -> Tensor:
        """Find which class of the classifier each class of a folder is.

        Parameters
        ----------
        classes : sequence of str
            Names of the folder's classes, in the order of its labels.
        what : str
            The folder, for messages.

        Returns
        -------
        Tensor of shape (len(classes),), int64
            Rows of `weight`: by name where the file has names, or where all are ImageNet's synsets
            and the classifier has its 1000 classes; else by the order of `sorted_classes`, of
            which whole numbers may be a part.

        Raises
        ------
        DiloError
            If a class is not among the classifier's, or names are missing and the numbers of
            classes differ.
        """
        rows = self._rows(classes)
        if rows is None:
            raise DiloError(
                f"{what} must have the {len(self.weight)} classes of {self.encoder.source}, which "
                f"does not name them, got {len(classes)}: give all class folders"
            )
        if unknown := [name for name in classes if name not in rows]:
            raise DiloError(
                f"classes of {what} must be among the {len(self.weight)} of {self.encoder.source}, "
                f"got {first_few(unknown)}: rename or remove these folders"
            )
        return torch.tensor([rows[name] for name in classes], dtype=torch.int64)

    def row_names(self, classes: Sequence[str]) -> tuple[str, ...] | None:
        """Name all classes of the classifier, as far as it or a folder tells.

        Parameters
        ----------
        classes : sequence of str
            Names of the folder's classes.

        Returns
        -------
        tuple of str or None
            A name a row of `weight`; None where they are not known.
        """
        if self.classes is not None:
            return self.classes
        rows = self._rows(classes)
        if rows is None:
            return None
        names = {row: name for name, row in rows.items()}
        return tuple(names.get(row, str(row)) for row in range(len(self.weight)))

    def _rows(self, classes: Sequence[str]) -> dict[str, int] | None:
        """Find the row of each name; None where neither names nor their number tell it."""
        count = len(self.weight)
        if self.classes is not None:
            rows = {name: row for row, name in enumerate(self.classes)}
            if are_numbers(self.classes) and are_numbers(classes):  # whatever zeros are before them
                by_number = {int(name): row for name, row in rows.items()}
                rows |= {c: by_number[int(c)] for c in classes if int(c) in by_number}
            return rows
        if count == len(SYNSETS) and not set(classes) - set(SYNSETS):
            return {name: row for row, name in enumerate(SYNSETS)}
        if len(classes) == count:
            # Runs of dilo that do not name their classes are from before numbers were sorted so.
            own = sorted(classes) if self.encoder.recipe else sorted_classes(classes)
            return {name: row for row, name in enumerate(own)}
        if (
            not self.encoder.recipe
            and are_numbers(classes)
            and all(int(c) < count for c in classes)
        ):
            return {name: int(name) for name in classes}
        return None


def load_classifier(path: Path, *, arch: str | None = None, size: int | None = None) -> Classifier:
    """Read a backbone and the linear layer that follows it.

    Parameters
    ----------
    path : Path
        What `dilo-eval linear` or MoCo's linear script wrote, a checkpoint of supervised
        training, torchvision's weights; or a folder: of `dilo-eval linear`, or of a run, which
        stands for what `linear` made there, else `linear --fast`, else for its newest checkpoint.
        A checkpoint of a run that is not its newest stands for what `linear` made of it.
    arch : str, optional
        Name of the network; by default what the file says.
    size : int, optional
        Side of the images in pixels; by default that of training, or 224.

    Returns
    -------
    Classifier
        Frozen, on the CPU.

    Raises
    ------
    CheckpointError
        If there is no such file, it is damaged, or it ends in something else than a classifier,
        as a projection head.
    """
    source = classifier_file(path)
    content = read_weights(source)
    weights = find_backbones(content, source, arch)
    head = weights.shared_classifier or weights.heads[0]
    if set(head) != {"weight", "bias"} or head["weight"].ndim != 2 or _projects(content, weights):
        raise CheckpointError(
            f"{source} must end in a classifier, a linear layer fc.weight and fc.bias, got "
            f"{first_few(['fc.' + name for name in head]) or 'no layer fc'}"
            f"{', a projection head' if head else ''}: train one with dilo-eval linear"
        )
    encoder = encoder_of(content, weights, source, arch, size)
    weight, bias = _layer(head, _width(encoder.network), source)
    classes = _class_names(nested_get(content, "dilo", "classes"), len(weight), source)
    return Classifier(encoder, weight, bias, classes)


def _width(network: torch.nn.Module) -> int:
    """Tell how many features a backbone pools."""
    if isinstance(network, TwoStream):
        return _width(network.l_to_ab) + _width(network.ab_to_l)
    if isinstance(network, SingleStream):
        return _width(network.network)
    return network.width if isinstance(network, TimmEncoder) else cast(Any, network).inplanes


def _layer(head: Mapping[str, Tensor], width: int, source: Path) -> tuple[Tensor, Tensor]:
    """Fill a linear layer with the weights of a file, which are compared as any others are."""
    weight = head["weight"]
    with torch.device("meta"):
        layer = torch.nn.Linear(width, weight.shape[0])
    load_weights(
        layer,
        head,
        f"{source} must end in a linear layer of {len(weight)} classes on {width} features",
        "train one with dilo-eval linear, or take another file",
    )
    return layer.weight.detach(), layer.bias.detach()


def _class_names(names: object, count: int, source: Path) -> tuple[str, ...] | None:
    """Take the names of the classes, where a file has them: one for each."""
    if names in (None, [], ()):
        return None
    fits = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if not fits or not len(set(cast("list[str]", names))) == len(cast("list[str]", names)) == count:
        raise CheckpointError(
            f"{source} must name each of its {count} classes once, got other names: train the "
            "classifier again, or take another file"
        )
    return tuple(cast("list[str]", names))


def classifier_file(path: Path) -> Path:
    """Find the file of a classifier.

    Parameters
    ----------
    path : Path
        The file, the folder that `dilo-eval linear` wrote, or that of a run, for the classifier
        of its newest checkpoint; or RUN/checkpoints/step-N.pt, for the classifier that was
        trained on this checkpoint, if there is one.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CheckpointError
        If there is none, or a run has several.
    """
    if (path / CLASSIFIER).is_file():
        return path / CLASSIFIER
    run, step = path, ""
    if path.parent.name == "checkpoints" and (match := re.fullmatch(r"step-(\d+)\.pt", path.name)):
        run, step = path.parent.parent, f"-step-{int(match[1])}"
    classifiers = _classifiers_of(run, step)
    if len(classifiers) > 1:
        raise CheckpointError(
            f"{path} must hold one classifier, got {first_few([*map(str, classifiers)])}, "
            "of other images or settings: name one of them"
        )
    return classifiers[0] if classifiers else checkpoint_file(path)


def _classifiers_of(run: Path, step: str) -> list[Path]:
    """List what `linear`, or else `linear --fast`, made of a step of a run; "" is its newest."""
    fast: list[Path] = []
    by_protocol: list[Path] = []
    for file in sorted(run.glob(f"eval/linear*/{CLASSIFIER}")):
        name = file.parent.name
        match = re.search(r"-step-\d+", name)
        if (match[0] if match else "") == step:
            (fast if re.match(r"linear-fast(-|$)", name) else by_protocol).append(file)
    return by_protocol or fast


def _projects(content: object, weights: CheckpointWeights) -> bool:
    """Tell whether the one linear layer is a projection head, as MoCo v1's and InstDisc's are."""
    if nested_get(content, "dilo") is not None:
        classes = nested_get(content, "dilo", "classes")
        return not (classes or nested_get(content, "dilo", "recipe", "method") == "supervised")
    several = bool(weights.heads[1:] and not weights.shared_classifier)
    pretraining = weights.prefix not in ("module.", "") or several
    # InstDisc's files are laid out as those of supervised training, but for the bank, which
    # is dropped on reading, and what they call the accuracy.
    return pretraining or nested_get(content, "best_prec1") is not None
