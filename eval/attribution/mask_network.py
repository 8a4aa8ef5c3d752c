"""A classifier that makes masks: of what the score of a class hangs on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from dilo.eval.attribution.heatmaps import stretched
from dilo.eval.attribution.maps import Attribution, attribution_maps, predicted
from dilo.eval.attribution.maskmethods import ClassParameters, GradientParameters
from dilo.eval.attribution.seeded import segmented
from dilo.eval.models.classifier import Classifier, load_classifier
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.labels import labels_of
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency.network import MaskNetwork
from dilo.train.runtime.devices import (
    DTYPES,
    Precision,
    choose_device,
    choose_precision,
    move_images,
)

#: What messages call the images of a store.
_STORE = "the folder of images"


#: From what a classifier saw, and the map of it, to saliency.
Finishing: TypeAlias = Callable[[NDArray[np.uint8], NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class ClassNetwork:
    """A classifier whose score of one class is mapped, an image at a time or many.

    Attributes
    ----------
    classifier : Classifier
        On its device.
    method : {"gradient", "cam"}
        How a map is made.
    side : int
        Side of the images that it sees, in pixels.
    precision : {"fp32", "bf16", "fp16"}
        In what it computes; of a gradient fp32.
    rows : mapping of str to int or None
        The classifier's row for each folder of the store; None to map the class with the
        highest score.
    finishing : callable
        Makes saliency of what was seen and its finite map.
    """

    classifier: Classifier
    method: Attribution
    side: int
    precision: Precision
    rows: Mapping[str, int] | None
    finishing: Finishing

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Squash the whole image to what the classifier sees.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            RGB.

        Returns
        -------
        ndarray of shape (side, side, 3), uint8
            All of the image.
        """
        return squash(image, self.side)

    def maps(self, seen: NDArray[Any], paths: Sequence[str]) -> NDArray[np.float32]:
        """Map the score of a class of each image.

        Parameters
        ----------
        seen : ndarray of shape (B, side, side, 3), uint8
            What `prepare` made, stacked.
        paths : sequence of str
            The images, as images.txt names them.

        Returns
        -------
        ndarray of shape (B, side, side), float32
            As `attribution_maps` gives them, each of its image alone.

        Raises
        ------
        CheckpointError
            If the network has no feature maps, which class activation maps are made of.
        """
        device = self.classifier.weight.device
        images = move_images(seen, device) / 255
        lower = self.precision != "fp32"
        with torch.autocast(device.type, dtype=DTYPES[self.precision], enabled=lower):
            if self.rows is None:
                classes = predicted(self.classifier, images)
            else:
                own = [self.rows[path.partition("/")[0]] for path in paths]
                classes = torch.tensor(own, device=device)
            maps = attribution_maps(self.classifier, images, self.method, classes)
        values: NDArray[np.float32] = maps.float().cpu().numpy()
        return values

    def finish(self, seen: NDArray[Any], found: NDArray[np.float32]) -> NDArray[np.float64]:
        """Make saliency of a map.

        Parameters
        ----------
        seen : ndarray of shape (side, side, 3), uint8
            What `prepare` made.
        found : ndarray of shape (side, side), float32
            Its map.

        Returns
        -------
        ndarray of shape (side, side), float64
            Saliency in [0, 1]; zeros for a constant map.

        Raises
        ------
        ValueError
            If the map is not finite.
        """
        if not np.isfinite(found).all():
            raise ValueError(f"a map of {self.method} must be finite, got NaN or infinity")
        return self.finishing(seen, found.astype(np.float64))


def open_classifier(
    weights: Path, parameters: ClassParameters, device: str, names: Names | None
) -> MaskNetwork:
    """Open a classifier, for class activation maps or for gradients of its scores.

    Parameters
    ----------
    weights : Path
        As `load_classifier` takes it.
    parameters : CamParameters or GradientParameters
        What it sees, and whose score is mapped; of a gradient, how it is segmented.
    device : str
        As torch names it, or "auto".
    names : Names or None
        All images of the store; None outside of one.

    Returns
    -------
    MaskNetwork
        Of gradients, whose saliency is the graph cut. Of activations, whose saliency is the map,
        stretched by its own least and greatest value as `dilo-eval localize` scores it: negative
        activations, which speak against the class, stay below all others.

    Raises
    ------
    DiloError
        If the file is no classifier, or none with feature maps for activations; the device cannot
        be had; or the images' own classes are asked for and are not those of the classifier.
    """
    place = choose_device(device)
    precision = choose_precision(parameters.precision, place)
    classifier = load_classifier(weights, arch=parameters.arch or None, size=parameters.side)
    rows = None if parameters.label == "predicted" else _rows(classifier, names)
    if isinstance(parameters, GradientParameters):
        method: Attribution = "gradient"
        finishing: Finishing = partial(segmented, parameters=parameters)
    else:
        method, finishing = "cam", lambda _, found: stretched(found)
    side = parameters.side
    network = ClassNetwork(classifier.to(place), method, side, precision, rows, finishing)
    # On a black image, to see that it has what maps are made of.
    network.maps(np.zeros((1, side, side, 3), np.uint8), [f"{next(iter(rows or ['']))}/"])
    return network


def _rows(classifier: Classifier, names: Names | None) -> dict[str, int]:
    """Find the classifier's row for each class folder of a store."""
    if names is None:
        raise DiloError(
            "label=folder needs a store's images, whose first folders name their classes, got "
            "none: give label=predicted"
        )
    classes = labels_of(names, _STORE).classes
    return dict(zip(classes, classifier.numbers(classes, _STORE).tolist(), strict=True))
