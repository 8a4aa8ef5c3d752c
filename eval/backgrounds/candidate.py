"""A classifier to be judged: which of the judged classes each of its own is, and its colours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dilo.eval.backgrounds.mapping import IMAGENET, NINE, Mapping
from dilo.eval.classifier import Classifier
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images.labels import sorted_classes

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
