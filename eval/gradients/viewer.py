"""What a classifier looks at in images: maps of the score of the true class, or of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilo.eval.attribution.maps import Attribution, ClassRule, attribution_maps
from dilo.eval.features.folders import LabelledFolder, class_of
from dilo.eval.models.classifier import Classifier
from dilo.pipeline.errors import CheckpointError, DiloError, ImageError
from dilo.pipeline.images import decode
from dilo.pipeline.images.names import Names, escaped
from dilo.train.data.evaluation import EvalImages, collate

#: Images of a figure that a network sees at once.
_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Seen:
    """What a classifier makes of an image.

    Attributes
    ----------
    maps : mapping of str to ndarray of shape (S, S), float32
        By method, as `attribution_maps` gives them.
    label : str
        Name of the class whose score is mapped.
    score : float
        Its score, before the softmax.
    probability : float
        And after it.
    right : bool or None
        Whether the class with the highest score is the image's; None where that is unknown.
    """

    maps: dict[Attribution, NDArray[np.float32]]
    label: str
    score: float
    probability: float
    right: bool | None


class Viewer:
    """A classifier, and which of its classes are those of a folder.

    Parameters
    ----------
    classifier : Classifier
        On its device.
    folder : LabelledFolder
        The images, with or without classes.
    which : {"true", "predicted"}
        Whose score to map.

    Raises
    ------
    DiloError
        If the score of the true class is asked for and it is unknown.
    """

    def __init__(self, classifier: Classifier, folder: LabelledFolder, which: ClassRule) -> None:
        self.classifier, self.folder, self.which = classifier, folder, which
        self._truth: Tensor | None = None
        if which == "true" and not folder.classes:
            raise DiloError(
                f"--class true must know the class of each image, got {folder.root} without class "
                "folders: give --class predicted"
            )
        try:
            if folder.classes:
                numbers = classifier.numbers(folder.classes, str(folder.root))
                self._truth = numbers[folder.labels]
        except DiloError:  # of others' classes, what is predicted can be shown all the same
            if which == "true":
                raise
        self._names = classifier.classes or self._of_folder()

    def _of_folder(self) -> tuple[str, ...]:
        """Name the classes of a file that does not: by the folder's, or by their numbers."""
        count = len(self.classifier.weight)
        if self._truth is None:
            return tuple(f"class {i}" for i in range(count))
        names = self.classifier.row_names(self.folder.classes)
        return names or tuple(f"class {i}" for i in range(count))

    def classes(self, scores: Tensor, rows: Sequence[int]) -> Tensor:
        """Choose the class whose score is mapped.

        Parameters
        ----------
        scores : Tensor of shape (B, C), float32
            Of images.
        rows : sequence of int
            Which images of the folder they are.

        Returns
        -------
        Tensor of shape (B,), int64
            Rows of the classifier's weight, on the device of `scores`.
        """
        if self.which == "true" and self._truth is not None:
            return self._truth[list(rows)].to(scores.device)
        return scores.argmax(1)

    def see(self, crops: Tensor, rows: Sequence[int], methods: Sequence[Attribution]) -> list[Seen]:
        """Map the scores of a few images.

        Parameters
        ----------
        crops : Tensor of shape (B, 3, S, S), uint8
            As the network takes them, on any device.
        rows : sequence of int
            Which images of the folder they are.
        methods : sequence of {"gradient", "cam"}
            Which maps to make.

        Returns
        -------
        list of Seen
            One an image.

        Raises
        ------
        CheckpointError
            If a score is not finite, or the network has no map for a method.
        """
        if not rows:
            return []
        images = crops.to(self.classifier.weight.device) / 255
        with torch.no_grad():
            scores = self.classifier.scores(images)
        if not bool(scores.isfinite().all()):
            raise CheckpointError(
                f"scores of {self.classifier.encoder.source} must be finite, got NaN or infinity: "
                "its training diverged; take another one"
            )
        classes = self.classes(scores, rows)
        maps: dict[Attribution, NDArray[np.float32]] = {
            method: attribution_maps(self.classifier, images, method, classes).cpu().numpy()
            for method in methods
        }
        best, shares = scores.argmax(1), scores.softmax(1)
        truth = None if self._truth is None else self._truth[list(rows)].tolist()
        return [
            Seen(
                {method: maps[method][i] for method in methods},
                self._names[which],
                float(scores[i, which]),
                float(shares[i, which]),
                None if truth is None else int(best[i]) == truth[i],
            )
            for i, which in enumerate(classes.tolist())
        ]


def look(viewer: Viewer, rows: Sequence[int], methods: Sequence[Attribution]) -> list[Seen]:
    """Map the scores of a few images of a folder, cut as read-outs cut them.

    Parameters
    ----------
    viewer : Viewer
        The classifier and the folder.
    rows : sequence of int
        Which images.
    methods : sequence of {"gradient", "cam"}
        Which maps to make.

    Returns
    -------
    list of Seen
        One an image.

    Raises
    ------
    DiloError
        If an image cannot be read.
    """
    seen: list[Seen] = []
    for start in range(0, len(rows), _AT_ONCE):
        block = rows[start : start + _AT_ONCE]
        names = Names(viewer.folder.names[row] for row in block)
        crops = EvalImages(viewer.folder.root, names, viewer.classifier.encoder.size)
        _, pixels, failures = collate([crops[i] for i in range(len(block))])
        for place, reason in failures:
            raise DiloError(
                f"{viewer.folder.root / escaped(names[place])} must be an image, got: {reason}: "
                "show another one"
            )
        seen += viewer.see(pixels, block, methods)
    return seen


def readable(
    folder: LabelledFolder, rows: Sequence[int], count: int
) -> tuple[list[int], list[tuple[str, str]]]:
    """Take the first images of an order that can be read.

    Parameters
    ----------
    folder : LabelledFolder
        The images.
    rows : sequence of int
        Rows of them, those to try first at the beginning.
    count : int
        How many are wanted.

    Returns
    -------
    list of int
        Rows that can be read, as many as wanted or there are, increasing.
    list of (str, str)
        Path of each image that was tried in vain, and why.

    Raises
    ------
    DiloError
        If none can be read.
    """
    found: list[int] = []
    failures: list[tuple[str, str]] = []
    for row in rows:
        if len(found) == count:
            break
        try:
            decode(folder.root / folder.names[row])
            found.append(row)
        except ImageError as error:
            failures.append((escaped(folder.names[row]), str(error)))
    if not found:
        raise DiloError(
            f"{folder.root} must hold images that can be read, but none of {len(rows)} could, the "
            f"first being {failures[0][0]} ({failures[0][1]}): check the files"
        )
    return sorted(found), failures


def gradients_record(
    viewers: Mapping[str, Viewer],
    shown: Sequence[int],
    seen: Mapping[str, Sequence[Seen]],
) -> dict[str, Any]:
    """Gather what classifiers make of a few images.

    Parameters
    ----------
    viewers : mapping of str to Viewer
        By the classifiers' names, at least one, all of one folder.
    shown : sequence of int
        Rows of the images.
    seen : mapping of str to sequence of Seen
        By the same names, one an image.

    Returns
    -------
    dict
        Classifiers, methods, and for each image class, score and probability by each.
    """
    first = next(iter(viewers.values()))
    encoder = first.classifier.encoder
    return {
        "task": "gradients",
        "checkpoint": str(encoder.source),
        "step": encoder.step,
        "size": encoder.size,
        "class": first.which,
        "images": str(first.folder.root),
        "classifiers": [
            {
                "name": name,
                "checkpoint": str(viewer.classifier.encoder.source),
                "step": viewer.classifier.encoder.step,
                "size": viewer.classifier.encoder.size,
            }
            for name, viewer in viewers.items()
        ],
        "shown": [
            {
                "path": escaped(first.folder.names[row]),
                "class": class_of(first.folder, row),
                "classifiers": [
                    {
                        "name": name,
                        "class": images[i].label,
                        "score": images[i].score,
                        "probability": images[i].probability,
                        "right": images[i].right,
                    }
                    for name, images in seen.items()
                ],
            }
            for i, row in enumerate(shown)
        ],
    }
