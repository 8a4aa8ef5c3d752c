"""What classifiers say of each variation of each image."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dilo.eval.backgrounds.adversary import BACKGROUNDS
from dilo.eval.backgrounds.challenge import IMAGENET, NINE, Challenge, Frames, Mapping
from dilo.eval.backgrounds.draws import MIXED
from dilo.eval.backgrounds.variations import Pieces, Variations, collate, pictures, spread
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.models.classifier import Classifier
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images.labels import sorted_classes
from dilo.pipeline.images.names import escaped
from dilo.train.data import evaluation
from dilo.train.data.loader import in_order, make_loader, read_through

#: Mean and standard deviation of red, green and blue that the challenge's own networks of nine
#: classes were trained with.
IN9_MEAN = (0.4717, 0.4499, 0.3837)


IN9_STD = (0.2600, 0.2516, 0.2575)


#: Whose statistics: those of the classifier's training, or the ones above.
COLOURS = ("training", "in9")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A classifier and what its answers mean.

    Attributes
    ----------
    name : str
        What tables call it.
    classifier : Classifier
        Trunk and linear layer.
    meaning : Tensor of shape (C,), int64
        Which of the judged classes each of its classes is; -1 for none.
    colours : {"training", "in9"}
        What standardises the colours it sees.
    """

    name: str
    classifier: Classifier
    meaning: Tensor
    colours: str = "training"

    def to(self, device: torch.device) -> "Candidate":
        """Move to a device.

        Parameters
        ----------
        device : torch.device
            Where to.

        Returns
        -------
        Candidate
            There; `meaning` stays on the CPU.
        """
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
        images = images.clamp(0, 1)
        if self.colours == "in9":
            mean, std = (images.new_tensor(three)[:, None, None] for three in (IN9_MEAN, IN9_STD))
            images = (images - mean) / std
            classifier = replace(classifier, encoder=replace(classifier.encoder, space="unit"))
        with torch.inference_mode():
            scores = classifier.scores(images).cpu()
        if not bool(scores.isfinite().all()):
            raise CheckpointError(
                f"scores of {classifier.encoder.source} must be finite, got NaN or infinity: "
                "the training diverged; take an earlier checkpoint"
            )
        return self.meaning[scores.argmax(1)]


def of_folder(name: str, classifier: Classifier, classes: Sequence[str], what: str) -> Candidate:
    """Judge a classifier by the classes of a folder, which are among its own.

    Parameters
    ----------
    name : str
        What tables call it.
    classifier : Classifier
        Trunk and linear layer.
    classes : sequence of str
        The folder's classes.
    what : str
        The folder, for messages.

    Returns
    -------
    Candidate
        Its classes that the folder does not have mean none.

    Raises
    ------
    DiloError
        If a class of the folder is not among the classifier's.
    """
    meaning = torch.full((len(classifier.weight),), -1)
    meaning[classifier.numbers(classes, what)] = torch.arange(len(classes))
    return Candidate(name, classifier, meaning)


def of_challenge(
    name: str,
    classifier: Classifier,
    mapping: Mapping | None,
    classes: Sequence[str],
    what: str,
    colours: str | None = None,
) -> Candidate:
    """Judge a classifier by the nine classes of the challenge.

    Parameters
    ----------
    name : str
        What tables call it.
    classifier : Classifier
        Of 9 classes, or of ImageNet's 1000.
    mapping : Mapping or None
        What the 1000 are.
    classes : sequence of str
        The challenge's class folders.
    what : str
        The folder, for messages.
    colours : {"training", "in9"}, optional
        What standardises the colours; by default "in9" for a network of 9 classes whose file
        is not of dilo, which is to say one of the challenge's.

    Returns
    -------
    Candidate
        Ready to be judged.

    Raises
    ------
    DiloError
        If it has another number of classes, or 1000 and there is no mapping.
    """
    count, source = len(classifier.weight), classifier.encoder.source
    foreign = not classifier.encoder.recipe and classifier.classes is None
    if count == NINE:
        known = of_folder(name, classifier, classes, what)
        return replace(known, colours=colours or ("in9" if foreign else "training"))
    if count != IMAGENET:
        raise DiloError(
            f"{source} must have 9 classes, or ImageNet's 1000, to be judged by {what}, got "
            f"{count}: train a classifier of either on its trunk with dilo-eval linear"
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
    return Candidate(name, classifier, mapping.numbers[torch.tensor(rows)], colours or "training")


Content = TypeVar("Content")


@dataclass(frozen=True, eq=False)
class Answers:
    """A classifier's answers to one variation.

    Attributes
    ----------
    positions : Tensor of shape (M,), int64
        Of the images, in their folder.
    paths : tuple of str
        Their relative paths; variations of the same paths are of the same images.
    labels : Tensor of shape (M,), int64
        Class of each foreground.
    predictions : Tensor of shape (M,), int64
        The class answered; -1 for one that is not judged.
    behind : Tensor of shape (M,), int64, optional
        Class of each background, where it is known.
    """

    positions: Tensor
    paths: tuple[str, ...]
    labels: Tensor
    predictions: Tensor
    behind: Tensor | None = None

    @property
    def right(self) -> Tensor:
        """Tell which are right.

        Returns
        -------
        Tensor of shape (M,), bool
            True where the answer is the foreground's class.
        """
        return self.predictions == self.labels


@dataclass(frozen=True, eq=False)
class Asked:
    """What came of a folder.

    Attributes
    ----------
    positions : list of int
        The images that were shown.
    predictions : list of dict of str to Tensor of shape (M,), int64
        For each candidate, by variation.
    failures : list of (int, str)
        The images that were not, and why.
    """

    positions: list[int]
    predictions: list[dict[str, Tensor]]
    failures: list[tuple[int, str]]


def ask(
    candidates: Sequence[Candidate],
    batches: Iterable[tuple[list[int], Content, list[tuple[int, str]]]],
    pictures: Callable[[Content], Iterable[tuple[str, Tensor]]],
    progress: Callable[[int], object] | None = None,
) -> Asked:
    """Show pictures to candidates.

    Parameters
    ----------
    candidates : sequence of Candidate
        On the device of the pictures.
    batches : iterable of (list of int, object, list of (int, str))
        Positions of the images that could be read, what of them, and the failures.
    pictures : callable
        Makes of that, by name of the variation, (B, 3, H, W) float32 in [0, 1].
    progress : callable, optional
        Called after each batch with the number of images done since the last call.

    Returns
    -------
    Asked
        In the order of the batches.
    """
    kept: list[int] = []
    failed: list[tuple[int, str]] = []
    found: list[dict[str, list[Tensor]]] = [{} for _ in candidates]
    for positions, content, failures in batches:
        if positions:
            for variation, images in pictures(content):
                for candidate, answers in zip(candidates, found, strict=True):
                    answers.setdefault(variation, []).append(candidate.predictions(images))
        kept += positions
        failed += failures
        if progress is not None:
            progress(len(positions) + len(failures))
    joined = [{name: torch.cat(parts) for name, parts in answers.items()} for answers in found]
    return Asked(kept, joined, failed)


@dataclass(frozen=True, kw_only=True)
class Running:
    """How pictures are read and shown.

    Attributes
    ----------
    batch : int
        Images at once.
    workers : int
        Processes that read; 0 reads in this one.
    device : torch.device
        Where the candidates are.
    progress : callable, optional
        Called after each batch with the number of images done since the last call.
    """

    batch: int = 64
    workers: int = 0
    device: torch.device
    progress: Callable[[int], object] | None = None

    def batches(self, data: Dataset[Any], gather: Callable[..., Any]) -> Generator[Any]:
        """Read a data set in batches, in order.

        Parameters
        ----------
        data : Dataset
            Of samples.
        gather : callable
            Makes a batch of a list of them.

        Yields
        ------
        object
            What `gather` makes.
        """
        order = in_order(range(len(cast(Sized, data))), self.batch)
        loading: Any = make_loader(
            data, order, workers=self.workers, pin=False, collate_fn=gather, prefetch_factor=2
        )
        yield from read_through(loading)


@dataclass(frozen=True, eq=False)
class Judged:
    """What came of all candidates.

    Attributes
    ----------
    found : list of dict of str to Answers
        For each candidate, by variation.
    failures : list of (str, str)
        Path of each image that could not be shown, and why.
    """

    found: list[dict[str, Answers]]
    failures: list[tuple[str, str]]


def judge_variations(
    candidates: Sequence[Candidate],
    variations: Variations,
    wanted: Sequence[str],
    running: Running,
) -> Judged:
    """Show the variations of a folder.

    Parameters
    ----------
    candidates : sequence of Candidate
        Of the variations' size.
    variations : Variations
        The images.
    wanted : sequence of str
        Which variations.
    running : Running
        How.

    Returns
    -------
    Judged
        Every variation is of the same images.

    Raises
    ------
    DiloError
        If no image could be varied.
    """
    donors = variations.donors

    def shown(pieces: Pieces) -> Iterator[tuple[str, Tensor]]:
        there = Pieces(*(part.to(running.device) for part in pieces))
        return ((name, images) for name, images in pictures(there) if name in wanted)

    batches = running.batches(variations, collate)
    asked = ask(candidates, batches, shown, running.progress)
    behind = {
        kind: torch.tensor([donors.behind(position, kind) for position in asked.positions])
        for kind in MIXED
    }
    found = [
        {
            name: replace(answers, behind=behind.get(name))
            for name, answers in _answers(variations.folder, asked, row).items()
        }
        for row in range(len(candidates))
    ]
    return Judged(found, _failures(variations.folder, asked))


def judge_challenge(
    candidates: Sequence[Candidate],
    challenge: Challenge,
    running: Running,
    *,
    side: int,
    limit: int | None = None,
) -> Judged:
    """Show the variations of the challenge.

    Parameters
    ----------
    candidates : sequence of Candidate
        Any.
    challenge : Challenge
        The images.
    running : Running
        How.
    side : int
        Side of the pictures, in pixels.
    limit : int, optional
        So many images of each variation at most.

    Returns
    -------
    Judged
        By variation. In Mixed-Next the background is of the next class, after the last of the
        first; in Mixed-Rand its class is not published.

    Raises
    ------
    DiloError
        If no image of a variation could be read.
    """
    found: list[dict[str, Answers]] = [{} for _ in candidates]
    failures: list[tuple[str, str]] = []
    for name, folder in challenge.folders.items():

        def shown(crops: Tensor, name: str = name) -> Iterator[tuple[str, Tensor]]:
            yield name, crops.to(running.device) / 255

        frames = Frames(folder, spread(np.arange(len(folder.names)), limit), side)
        batches = running.batches(frames, evaluation.collate)
        asked = ask(candidates, batches, shown, running.progress)
        for row, answers in enumerate(found):
            told = _answers(folder, asked, row)[name]
            if name == "mixed_next":
                told = replace(told, behind=(told.labels + 1) % len(challenge.classes))
            answers[name] = told
        failures += [(f"{name}/val/{path}", reason) for path, reason in _failures(folder, asked)]
    return Judged(found, failures)


def read_backgrounds(
    challenge: Challenge, running: Running, side: int
) -> tuple[Tensor, list[tuple[str, str]]]:
    """Hold the challenge's backgrounds in the device's memory: 4,050 take 0.6 GB.

    Parameters
    ----------
    challenge : Challenge
        The images.
    running : Running
        How.
    side : int
        Side of each, in pixels.

    Returns
    -------
    Tensor of shape (N, 3, side, side), uint8
        Those that could be read, in the order of their paths.
    list of (str, str)
        The others, and why.
    """
    folder = challenge.folders[BACKGROUNDS]
    frames = Frames(folder, np.arange(len(folder.names)), side)
    kept, failed = [], []
    for positions, crops, failures in running.batches(frames, evaluation.collate):
        kept += [crops.to(running.device)] if positions else []
        failed += failures
    _demand_some(folder, kept, failed)
    paths = [(f"{BACKGROUNDS}/val/{escaped(folder.names[i])}", reason) for i, reason in failed]
    return torch.cat(kept), paths


def _answers(folder: LabelledFolder, asked: Asked, row: int) -> dict[str, Answers]:
    """Give a candidate's answers, with what they are to."""
    _demand_some(folder, asked.positions, asked.failures)
    positions = torch.tensor(asked.positions)
    paths = tuple(folder.names[position] for position in asked.positions)
    return {
        name: Answers(positions, paths, folder.labels[positions], predictions)
        for name, predictions in asked.predictions[row].items()
    }


def _demand_some(
    folder: LabelledFolder, kept: Sequence[object], failures: Sequence[tuple[int, str]]
) -> None:
    """Refuse a folder of which nothing can be shown."""
    if not kept:
        position, reason = failures[0]
        raise DiloError(
            f"{folder.root} must hold images that can be shown, but none of {len(failures)} can, "
            f"the first being {escaped(folder.names[position])} ({reason}): check files and masks"
        )


def _failures(folder: LabelledFolder, asked: Asked) -> list[tuple[str, str]]:
    """Name the images that could not be shown."""
    return [(escaped(folder.names[position]), reason) for position, reason in asked.failures]
