"""The file of a trained detector: torchvision's names, and all that building it again needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from dilo.eval.detect.models import empty_backbone, make_detector
from dilo.eval.detect.protocols import PROTOCOLS
from dilo.eval.detect.recipe import DetectionRecipe, detection_recipe
from dilo.eval.detect.samples import input_shape, resize
from dilo.pipeline.errors import CheckpointError
from dilo.train.engine.checkpoint import save_torch_file
from dilo.train.weights.loading import load_weights
from dilo.train.weights.torchfile import read

#: Its name in the folder of a run.
DETECTOR = "detector.pth"
#: Version of what stands under "dilo" in it.
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Detector:
    """A trained detector."""

    #: In eval mode.
    network: GeneralizedRCNN
    #: Names, by label from 0.
    classes: tuple[str, ...]
    recipe: DetectionRecipe
    #: The name of the protocol that it was trained by.
    protocol: str
    #: The colours that it sees, as `views.space` of a recipe names them.
    space: str = "rgb"
    #: Channels of the backbone's layers, as a factor of the usual ones.
    width: float = 1.0

    @torch.no_grad()
    def detect(self, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Find the objects of an image.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            RGB.

        Returns
        -------
        dict of str to ndarray
            "boxes" (D, 4) float32, x0, y0, x1, y1 in pixels of the image; "scores" (D,) float32,
            the highest first; "labels" (D,) int64, positions in `classes`; with masks, "masks"
            (D, side, side) float32, probabilities in each box.
        """
        height, width = image.shape[:2]
        shape = input_shape((height, width), self.recipe.data.side, self.recipe.data.longest)
        resized = np.ascontiguousarray(resize(image, *shape).transpose(2, 0, 1))
        device = next(self.network.parameters()).device
        (detections,) = self.network([torch.from_numpy(resized).to(device).float()])
        result = {name: values.cpu().numpy() for name, values in detections.items()}
        result["boxes"] = result["boxes"] * np.array(
            [width / shape[1], height / shape[0]] * 2, np.float32
        )
        result["labels"] = result["labels"] - 1
        return result


def write_detector(path: Path, detector: Detector) -> None:
    """Write a detector as `load_detector` reads it."""
    content = {
        "arch": detector.recipe.model.arch,
        "state_dict": {name: value.cpu() for name, value in detector.network.state_dict().items()},
        "dilo": {
            "format": FORMAT_VERSION,
            "kind": "detector",
            "protocol": detector.protocol,
            "recipe": detector.recipe.plain(),
            "classes": list(detector.classes),
            "space": detector.space,
            "width": detector.width,
        },
    }
    save_torch_file(path, content, "make room and run the same command again")


def load_detector(path: Path) -> Detector:
    """Read a detector that `dilo-eval detect` trained.

    Parameters
    ----------
    path : Path
        Its file, detector.pth.

    Returns
    -------
    Detector
        Ready to detect, on the CPU.

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds something else.
    """
    content = _mapping(read(path))
    if not _is_detector(content):
        raise CheckpointError(f"{path} must be a detector that dilo-eval detect wrote")
    return _of_content(path, content)


def detector_in(path: Path) -> Detector | None:
    """Read a detector as `load_detector` does; None where a file holds something else.

    Parameters
    ----------
    path : Path
        Any checkpoint.

    Returns
    -------
    Detector or None
        Ready to detect, on the CPU.
    """
    if path.suffix != Path(DETECTOR).suffix or not path.is_file():
        return None
    try:
        content = _mapping(read(path))
    except CheckpointError:
        return None
    return _of_content(path, content) if _is_detector(content) else None


def _is_detector(content: Mapping[str, Any]) -> bool:
    """Tell whether a file is of a detector."""
    return _mapping(content.get("dilo")).get("kind") == "detector"


def _of_content(path: Path, content: Mapping[str, Any]) -> Detector:
    """Build a detector, and fill it with the weights of its file."""
    about = _mapping(content.get("dilo"))
    if about.get("format") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} must have format {FORMAT_VERSION}, got {about.get('format')!r}: load it with "
            "the version of dilo that wrote it"
        )
    recipe = detection_recipe(_mapping(about.get("recipe")), str(path))
    names, space, width = about.get("classes"), about.get("space"), about.get("width")
    classes = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    if len(classes) != recipe.model.classes or space not in ("rgb", "unit"):
        raise CheckpointError(
            f"{path} must say its {recipe.model.classes} classes and its colours, as dilo-eval "
            "detect writes them"
        )
    protocol = about.get("protocol")
    if not isinstance(protocol, str) or protocol not in PROTOCOLS:
        raise CheckpointError(f"{path} must say a protocol that is known, got {protocol!r}")
    if not isinstance(width, float) or not 0 < width <= 64:
        raise CheckpointError(f"{path} must say its width, got {width!r}")
    with torch.device("meta"):  # no first weights, of which none would stay
        network = make_detector(empty_backbone(recipe.model, width), recipe.model, space=space)
    weights = {str(name): value for name, value in _mapping(content.get("state_dict")).items()}
    load_weights(network, weights, f"{path} must have all layers", "take another file")
    return Detector(network.eval(), tuple(classes), recipe, protocol, space, width)


def _mapping(value: object) -> dict[str, Any]:
    """Return a mapping as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}
