"""Maps that classifiers make: of the true class where it is known, else of what they predict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dilo.eval.attribution.maps import Attribution, ClassRule, attribution_maps, predicted
from dilo.eval.localize.ground_truth import Example
from dilo.eval.models.classifier import Classifier
from dilo.pipeline.errors import DiloError


@dataclass(frozen=True, eq=False)
class Network:
    """A classifier and the maps that it is to make.

    Attributes
    ----------
    name : str
        What tables call it.
    classifier : Classifier
        On the device where it runs.
    methods : sequence of {"gradient", "cam"}
        How maps are made, one after the other.
    known : mapping of str to int, or None
        The classifier's row for each class folder; None where the images tell no class that it
        knows.
    rule : {"true", "predicted"}
        Of which class; "true" takes `known`.
    """

    name: str
    classifier: Classifier
    methods: Sequence[Attribution]
    known: Mapping[str, int] | None
    rule: ClassRule

    def maps(self, examples: Sequence[Example]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Make the maps of some images.

        Parameters
        ----------
        examples : sequence of Example
            B images of one size.

        Returns
        -------
        ndarray of shape (B, R, S, S), float32
            One map a method.
        ndarray of shape (B,), int64
            The row of the class that it predicts.
        """
        pixels = torch.from_numpy(np.stack([example.image for example in examples]))
        images = pixels.to(self.classifier.weight.device).permute(0, 3, 1, 2).float() / 255
        guessed = predicted(self.classifier, images)
        classes = guessed
        if self.rule == "true":
            classes = torch.tensor(self.true_rows(examples), device=guessed.device)
        maps = [attribution_maps(self.classifier, images, how, classes) for how in self.methods]
        return torch.stack(maps, 1).cpu().numpy(), guessed.cpu().numpy()

    def true_rows(self, examples: Sequence[Example]) -> list[int]:
        """Find the rows of the true classes.

        Parameters
        ----------
        examples : sequence of Example
            Images in class folders.

        Returns
        -------
        list of int
            One an image; empty where the classes are not known.
        """
        if self.known is None:
            return []
        return [self.known[class_of(example.path)] for example in examples]

    def class_name(self, row: int) -> str:
        """Name a class.

        Parameters
        ----------
        row : int
            Of the classifier's weight.

        Returns
        -------
        str
            Its name, or its number where the file has no names.
        """
        return self.classifier.classes[row] if self.classifier.classes else str(row)


def class_of(path: str) -> str:
    """Tell the class that the first folder of a path names.

    Parameters
    ----------
    path : str
        Relative path of an image.

    Returns
    -------
    str
        The folder; empty for an image outside any.
    """
    return path.rpartition("/")[0].partition("/")[0]


def known_classes(
    classifier: Classifier, classes: Sequence[str], where: str, rule: ClassRule | None
) -> tuple[Mapping[str, int] | None, ClassRule, str]:
    """Decide of which class the maps of a classifier are.

    Parameters
    ----------
    classifier : Classifier
        The classifier.
    classes : sequence of str
        Names of the class folders, sorted; empty where an image lies outside any.
    where : str
        The images, for messages.
    rule : {"true", "predicted"} or None
        What the user asks for; None takes the true class where the classifier knows it.

    Returns
    -------
    mapping of str to int, or None
        The classifier's row for each class folder, as far as they are its classes.
    str
        "true" or "predicted".
    str
        Why it is not the true class, if the user left it open; else empty.

    Raises
    ------
    DiloError
        If the user asks for the true class and it is not known.
    """
    try:
        if not classes:
            raise DiloError(f"{where} must hold a folder for each class, got images outside any")
        rows = classifier.numbers(classes, where)
    except DiloError as error:
        if rule == "true":
            raise DiloError(f"--class true: {error}; or give --class predicted") from error
        return None, "predicted", "" if rule else str(error)
    return dict(zip(classes, rows.tolist(), strict=True)), rule or "true", ""
