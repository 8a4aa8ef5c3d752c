"""Maps that classifiers make: of the true class where it is known, else of what they predict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from dilo.eval.attribution.maps import Attribution, ClassRule, attribution_maps, predicted
from dilo.eval.localize.ground_truth import Sample
from dilo.eval.models.classifier import Classifier


@dataclass(frozen=True, eq=False)
class ClassifierMaps:
    """A classifier and the maps that it is to make."""

    #: What tables call it.
    name: str
    #: On the device where it runs.
    classifier: Classifier
    #: How maps are made, one after the other.
    methods: Sequence[Attribution]
    #: The classifier's row for each class folder; None where the images tell no class that it
    #: knows.
    class_rows: Mapping[str, int] | None
    #: Of which class; "true" takes `class_rows`.
    rule: ClassRule
    #: The class of each image by its path, where its first folder is not its class.
    classes: Mapping[str, str] = field(default_factory=dict)

    def maps(self, samples: Sequence[Sample]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Make the maps of some images.

        Parameters
        ----------
        samples : sequence of Sample
            B images of one size.

        Returns
        -------
        ndarray of shape (B, R, S, S), float32
            One map a method.
        ndarray of shape (B,), int64
            The row of the class that it predicts.
        """
        pixels = torch.from_numpy(np.stack([sample.image for sample in samples]))
        images = pixels.to(self.classifier.weight.device).permute(0, 3, 1, 2).float() / 255
        guessed = predicted(self.classifier, images)
        classes = guessed
        if self.rule == "true":
            classes = torch.tensor(self.true_rows(samples), device=guessed.device)
        maps = [
            attribution_maps(self.classifier, images, method, classes) for method in self.methods
        ]
        return torch.stack(maps, 1).cpu().numpy(), guessed.cpu().numpy()

    def true_rows(self, samples: Sequence[Sample]) -> list[int]:
        """Find the rows of the true classes."""
        if self.class_rows is None:
            return []
        paths = [sample.path for sample in samples]
        return [self.class_rows[self.classes.get(path) or class_of(path)] for path in paths]

    def class_name(self, row: int) -> str:
        """Name a class."""
        return self.classifier.classes[row] if self.classifier.classes else str(row)


def class_of(path: str) -> str:
    """Tell the class that the first folder of a path names."""
    return path.rpartition("/")[0].partition("/")[0]
