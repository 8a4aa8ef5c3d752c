"""What classifiers say of each variation of each image."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dilo.eval.backgrounds.challenge import IMAGENET, NINE, Challenge, Frames, Mapping
from dilo.eval.backgrounds.draws import MIXED
from dilo.eval.backgrounds.variations import Layers, Variations, collate, compose, evenly_spaced
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.models.classifier import Classifier
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images.labels import sorted_classes
from dilo.pipeline.images.names import escaped
from dilo.train.data import evaluation
from dilo.train.data.loader import in_order, make_loader, read_through


@dataclass(frozen=True, eq=False)
class ClassifierUnderTest:
    """A classifier and what its answers mean."""

    #: What tables call it.
    name: str
    #: Backbone and linear layer.
    classifier: Classifier
    class_map: Tensor

    def to(self, device: torch.device) -> "ClassifierUnderTest":
        """Move to a device."""
        return replace(self, classifier=self.classifier.to(device))

    def predictions(self, images: Tensor) -> Tensor:
        """Classify: the best of all its classes, and only then which of the judged ones that is.

        Parameters
        ----------
        images : Tensor of shape (B, 3, H, W), float32
            RGB in [0, 1], on the classifier's device.

        Returns
        -------
        Tensor of shape (B,), int64
            Judged classes, on the CPU; -1 where the best class is none of them.

        Raises
        ------
        CheckpointError
            If a score is not finite.
        """
        classifier = self.classifier
        with torch.inference_mode():
            scores = classifier.scores(images.clamp(0, 1)).cpu()
        if not bool(scores.isfinite().all()):
            raise CheckpointError(
                f"scores of {classifier.encoder.source} must be finite, got NaN or infinity: "
                "the training diverged; take an earlier checkpoint"
            )
        return self.class_map[scores.argmax(1)]


def of_folder(
    name: str, classifier: Classifier, classes: Sequence[str], what: str
) -> ClassifierUnderTest:
    """Judge a classifier by the classes of a folder, which are among its own."""
    class_map = torch.full((len(classifier.weight),), -1)
    class_map[classifier.numbers(classes, what)] = torch.arange(len(classes))
    return ClassifierUnderTest(name, classifier, class_map)


def of_challenge(
    name: str,
    classifier: Classifier,
    mapping: Mapping | None,
    classes: Sequence[str],
    what: str,
) -> ClassifierUnderTest:
    """Judge a classifier by the nine classes of the challenge."""
    count, source = len(classifier.weight), classifier.encoder.source
    if count == NINE:
        return of_folder(name, classifier, classes, what)
    if count != IMAGENET:
        raise DiloError(
            f"{source} must have 9 classes, or ImageNet's 1000, to be judged by {what}, got "
            f"{count}: train a classifier of either on its backbone with dilo-eval linear"
        )
    if mapping is None:
        raise DiloError(
            f"{source} has 1000 classes, so --mapping must say which of the 9 each of them is, got "
            "none: give in_to_in9.json of the challenge's code"
        )
    order = sorted_classes(
        classifier.classes or ()
    )  # the mapping counts synsets in their sorted order
    ranks = {synset: rank for rank, synset in enumerate(order)}
    rows = [ranks[synset] for synset in classifier.classes or ()] or list(range(IMAGENET))
    return ClassifierUnderTest(name, classifier, mapping.numbers[torch.tensor(rows)])


Content = TypeVar("Content")


@dataclass(frozen=True, eq=False)
class Answers:
    """A classifier's answers to one variation."""

    #: Of the images, in their folder; of shape (M,), int64.
    positions: Tensor
    #: Their relative paths; variations of the same paths are of the same images.
    paths: tuple[str, ...]
    #: Class of each foreground; of shape (M,), int64.
    labels: Tensor
    #: The class answered; -1 for one that is not judged; of shape (M,), int64.
    predictions: Tensor
    background_labels: Tensor | None = None

    @property
    def right(self) -> NDArray[np.bool_]:
        """Tell which are right.

        Returns
        -------
        ndarray of shape (M,), bool
            True where the answer is the foreground's class.
        """
        right: NDArray[np.bool_] = (self.predictions == self.labels).numpy()
        return right


@dataclass(frozen=True, eq=False)
class FolderPredictions:
    """What came of a folder."""

    #: The images that were shown.
    positions: list[int]
    #: For each candidate, by variation; of shape (M,), int64.
    predictions: list[dict[str, Tensor]]
    #: The images that were not, and why.
    failures: list[tuple[int, str]]


def predict_all(
    candidates: Sequence[ClassifierUnderTest],
    batches: Iterable[tuple[list[int], Content, list[tuple[int, str]]]],
    compose: Callable[[Content], Iterable[tuple[str, Tensor]]],
    progress: Callable[[int], object] | None = None,
) -> FolderPredictions:
    """Show pictures to candidates."""
    positions_read: list[int] = []
    failed: list[tuple[int, str]] = []
    by_classifier: list[dict[str, list[Tensor]]] = [{} for _ in candidates]
    for positions, content, failures in batches:
        if positions:
            for variation, images in compose(content):
                for classifier_under_test, answers in zip(candidates, by_classifier, strict=True):
                    answers.setdefault(variation, []).append(
                        classifier_under_test.predictions(images)
                    )
        positions_read += positions
        failed += failures
        if progress is not None:
            progress(len(positions) + len(failures))
    joined = [
        {name: torch.cat(parts) for name, parts in answers.items()} for answers in by_classifier
    ]
    return FolderPredictions(positions_read, joined, failed)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How pictures are read and shown."""

    #: Images at once.
    batch: int = 64
    #: Processes that read; 0 reads in this one.
    workers: int = 0
    #: Where the candidates are.
    device: torch.device
    #: Called after each batch with the number of images done since the last call.
    progress: Callable[[int], object] | None = None

    def batches(self, data: Dataset[Any], gather: Callable[..., Any]) -> Generator[Any]:
        """Read a data set in batches, in order."""
        order = in_order(range(len(cast(Sized, data))), self.batch)
        loading: Any = make_loader(
            data, order, workers=self.workers, pin=False, collate_fn=gather, prefetch_factor=2
        )
        yield from read_through(loading)


@dataclass(frozen=True, eq=False)
class VariationAnswers:
    """The answers of all candidates."""

    #: For each candidate, by variation.
    by_classifier: list[dict[str, Answers]]
    #: Path of each image that could not be shown, and why.
    failures: list[tuple[str, str]]


def classify_variations(
    candidates: Sequence[ClassifierUnderTest],
    variations: Variations,
    wanted: Sequence[str],
    running: RunOptions,
) -> VariationAnswers:
    """Show the variations of a folder."""
    donors = variations.donors

    def shown(layers: Layers) -> Iterator[tuple[str, Tensor]]:
        there = Layers(*(part.to(running.device) for part in layers))
        return ((name, images) for name, images in compose(there) if name in wanted)

    batches = running.batches(variations, collate)
    predictions = predict_all(candidates, batches, shown, running.progress)
    background_labels = {
        kind: torch.tensor(
            [donors.background_class(position, kind) for position in predictions.positions]
        )
        for kind in MIXED
    }
    by_classifier = [
        {
            name: replace(answers, background_labels=background_labels.get(name))
            for name, answers in _answers(variations.folder, predictions, row).items()
        }
        for row in range(len(candidates))
    ]
    return VariationAnswers(by_classifier, _failures(variations.folder, predictions))


def classify_challenge(
    candidates: Sequence[ClassifierUnderTest],
    challenge: Challenge,
    running: RunOptions,
    *,
    side: int,
    limit: int | None = None,
) -> VariationAnswers:
    """Show the variations of the challenge."""
    by_classifier: list[dict[str, Answers]] = [{} for _ in candidates]
    failures: list[tuple[str, str]] = []
    for name, folder in challenge.folders.items():

        def shown(crops: Tensor, name: str = name) -> Iterator[tuple[str, Tensor]]:
            yield name, crops.to(running.device) / 255

        frames = Frames(folder, evenly_spaced(np.arange(len(folder.names)), limit), side)
        batches = running.batches(frames, evaluation.collate)
        predictions = predict_all(candidates, batches, shown, running.progress)
        for row, answers in enumerate(by_classifier):
            given = _answers(folder, predictions, row)[name]
            if name == "mixed_next":
                next_labels = (given.labels + 1) % len(challenge.classes)
                given = replace(given, background_labels=next_labels)
            answers[name] = given
        failures += [
            (f"{name}/val/{path}", reason) for path, reason in _failures(folder, predictions)
        ]
    return VariationAnswers(by_classifier, failures)


def _answers(
    folder: LabelledFolder, predictions: FolderPredictions, row: int
) -> dict[str, Answers]:
    """Give a candidate's answers, with what they are to."""
    _demand_some(folder, predictions.positions, predictions.failures)
    positions = torch.tensor(predictions.positions)
    paths = tuple(folder.names[position] for position in predictions.positions)
    return {
        name: Answers(positions, paths, folder.labels[positions], predictions)
        for name, predictions in predictions.predictions[row].items()
    }


def _demand_some(
    folder: LabelledFolder, positions_read: Sequence[object], failures: Sequence[tuple[int, str]]
) -> None:
    """Refuse a folder of which nothing can be shown."""
    if not positions_read:
        position, reason = failures[0]
        raise DiloError(
            f"{folder.root} must hold images that can be shown, but none of {len(failures)} can, "
            f"the first being {escaped(folder.names[position])} ({reason}): check files and masks"
        )


def _failures(folder: LabelledFolder, predictions: FolderPredictions) -> list[tuple[str, str]]:
    """Name the images that could not be shown."""
    return [(escaped(folder.names[position]), reason) for position, reason in predictions.failures]
