"""What a classifier looks at in images: maps of the score of the true class, or of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilo.eval.attribution.classes import known_classes
from dilo.eval.attribution.maps import Attribution, ClassRule, attribution_maps
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.models.classifier import Classifier
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images.names import Names, escaped
from dilo.train.data.evaluation import EvalImages, collate

#: Images of a figure that a network sees at once.
_BATCH = 8


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a classifier makes of an image."""

    #: By method, of shape (S, S), float32, as `attribution_maps` gives them.
    maps: dict[Attribution, NDArray[np.float32]]
    #: Name of the class whose score is mapped.
    label: str
    #: Its score, before the softmax.
    score: float
    #: And after it.
    probability: float
    #: Whether the class with the highest score is the image's; None where that is unknown.
    right: bool | None


class Explainer:
    """A classifier, and which of its classes are those of a folder.

    Parameters
    ----------
    classifier : Classifier
        On its device.
    folder : LabelledFolder
        The images, with or without classes.
    rule : {"true", "predicted"} or None
        Whose score to map; None takes the true class where the classifier knows it.

    Raises
    ------
    DiloError
        If the score of the true class is asked for and it is unknown.
    """

    def __init__(
        self, classifier: Classifier, folder: LabelledFolder, rule: ClassRule | None
    ) -> None:
        self.classifier, self.folder = classifier, folder
        known, self.rule, self.reason = known_classes(
            classifier, folder.classes, f"--images {folder.root}", rule
        )
        #: The classifier's row for each image; None where it does not know the classes.
        self._truth: Tensor | None = None
        if known is not None:
            self._truth = torch.tensor([known[name] for name in folder.classes])[folder.labels]
        self._names = classifier.classes or self._names_of_folder()

    def _names_of_folder(self) -> tuple[str, ...]:
        """Name the classes of a file that does not: by the folder's, or by their numbers."""
        names = None
        if self._truth is not None:
            names = self.classifier.row_names(self.folder.classes)
        return names or tuple(f"class {i}" for i in range(len(self.classifier.weight)))

    def explain(
        self, crops: Tensor, rows: Sequence[int], methods: Sequence[Attribution]
    ) -> list[Explanation]:
        """Map the scores of a few images.

        Parameters
        ----------
        crops : Tensor of shape (B, 3, S, S), uint8
            As the network takes them, on any device; B is at least 1.
        rows : sequence of int
            Which images of the folder they are.
        methods : sequence of {"gradient", "cam"}
            Which maps to make.

        Returns
        -------
        list of Explanation
            One an image.

        Raises
        ------
        CheckpointError
            If a score is not finite, or the network has no map for a method.
        """
        images = crops.to(self.classifier.weight.device) / 255
        with torch.no_grad():
            scores = self.classifier.scores(images)
        if not bool(scores.isfinite().all()):
            raise CheckpointError(
                f"scores of {self.classifier.encoder.source} must be finite, got NaN or infinity: "
                "its training diverged; take another one"
            )
        truth = None if self._truth is None else self._truth[list(rows)].to(scores.device)
        best, probabilities = scores.argmax(1), scores.softmax(1)
        classes = truth if self.rule == "true" and truth is not None else best
        maps: dict[Attribution, NDArray[np.float32]] = {
            method: attribution_maps(self.classifier, images, method, classes).cpu().numpy()
            for method in methods
        }
        return [
            Explanation(
                {method: maps[method][i] for method in methods},
                self._names[row],
                float(scores[i, row]),
                float(probabilities[i, row]),
                None if truth is None else bool(best[i] == truth[i]),
            )
            for i, row in enumerate(classes.tolist())
        ]


def explain_images(
    explainer: Explainer, rows: Sequence[int], methods: Sequence[Attribution]
) -> list[Explanation]:
    """Map the scores of a few images of a folder, cropped as evaluations crop them.

    Parameters
    ----------
    explainer : Explainer
        The classifier and the folder.
    rows : sequence of int
        Which images.
    methods : sequence of {"gradient", "cam"}
        Which maps to make.

    Returns
    -------
    list of Explanation
        One an image.

    Raises
    ------
    DiloError
        If an image cannot be read.
    """
    explanations: list[Explanation] = []
    for start in range(0, len(rows), _BATCH):
        block = rows[start : start + _BATCH]
        names = Names(explainer.folder.names[row] for row in block)
        crops = EvalImages(explainer.folder.images, names, explainer.classifier.encoder.size)
        _, pixels, failures = collate([crops[i] for i in range(len(block))])
        for place, reason in failures:
            raise DiloError(
                f"{explainer.folder.root / escaped(names[place])} must be an image, got: {reason}: "
                "show another one"
            )
        explanations += explainer.explain(pixels, block, methods)
    return explanations
