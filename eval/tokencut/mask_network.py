"""The normalised cut as a network that makes masks: opened, and what its weights decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dilo.eval.tokencut.alpha import alpha_mask, upsampled
from dilo.eval.tokencut.backbones import Backbone, open_backbone
from dilo.eval.tokencut.cut import normalized_cut
from dilo.eval.tokencut.maskmethods import TokenCutParameters
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency.weights import weights_file
from dilo.train.runtime.devices import (
    DTYPES,
    Precision,
    choose_device,
    choose_precision,
    move_images,
)

#: Cells of which a cut can be: fewer have no rim that is not all of them.
_MIN_CELLS = 4


@dataclass(frozen=True, eq=False)
class TokenCutNetwork:
    """A network whose features are cut; several threads may ask for maps at once.

    Attributes
    ----------
    backbone : Backbone
        On its device.
    parameters : TokenCutParameters
        All that decides a mask.
    device : torch.device
        Where it computes.
    precision : {"fp32", "bf16", "fp16"}
        In what the features are computed; the cut is float64 always.
    """

    backbone: Backbone
    parameters: TokenCutParameters
    device: torch.device
    precision: Precision

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Squash the whole image to what the network sees.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            RGB.

        Returns
        -------
        ndarray of shape (side, side, 3), uint8
            All of the image.
        """
        return squash(image, self.parameters.side)

    def maps(self, pixels: NDArray[Any], paths: Sequence[str]) -> NDArray[np.float32]:
        """Cut the cells of each image in two.

        Parameters
        ----------
        pixels : ndarray of shape (B, side, side, 3), uint8
            What `prepare` made, stacked.
        paths : sequence of str
            Not needed.

        Returns
        -------
        ndarray of shape (B, h, w), float32
            As `normalized_cut` gives them.
        """
        with torch.inference_mode():
            cuts = normalized_cut(self._cells(pixels), self.parameters)
            values: NDArray[np.float32] = cuts.float().cpu().numpy()
        return values

    def _cells(self, pixels: NDArray[Any]) -> torch.Tensor:
        """Compute the features of the cells, (B, h, w, D)."""
        is_lower = self.precision != "fp32"
        with torch.autocast(self.device.type, DTYPES[self.precision], enabled=is_lower):
            images = move_images(pixels, self.device) / 255
            return self.backbone.cells(images, self.parameters.features)

    def finish(self, pixels: NDArray[Any], output: NDArray[np.float32]) -> NDArray[np.float64]:
        """Make saliency of a cut.

        Parameters
        ----------
        pixels : ndarray of shape (side, side, 3), uint8
            Not needed.
        output : ndarray of shape (h, w), float32
            Its cut.

        Returns
        -------
        ndarray of shape (side, side), float64
            Saliency in [0, 1]; zeros where there is no cut.

        Raises
        ------
        ValueError
            If the cut is not finite.
        """
        if not np.isfinite(output).all():
            raise ValueError("features must be finite, got NaN or infinity from the network")
        alpha = alpha_mask(output.astype(np.float64), self.parameters)
        return upsampled(alpha, self.parameters.side)


def open_tokencut(
    weights: Path, parameters: TokenCutParameters, device: str, names: Names | None
) -> TokenCutNetwork:
    """Open a network to cut its features.

    Parameters
    ----------
    weights : Path
        As `open_backbone` takes it.
    parameters : TokenCutParameters
        All that decides a mask.
    device : str
        As torch names it, or "auto".
    names : Names or None
        Not needed.

    Returns
    -------
    TokenCutNetwork
        With its weights.

    Raises
    ------
    DiloError
        If the weights are of no network with such features, it takes no images of this side, or
        the device cannot be had.
    """
    place = choose_device(device)
    precision = choose_precision(parameters.precision, place)
    backbone = open_backbone(weights, parameters.arch)
    _require_features(backbone, parameters)
    network = TokenCutNetwork(backbone, parameters, place, precision)
    _start(network)
    return network


def read_defaults(weights: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Read what weights decide where a user says nothing: the recipe, the features, the side.

    Parameters
    ----------
    weights : Path
        As `dilo.pipeline.saliency.weights.weights_file` takes it.
    values : mapping
        What the user says; of it, the recipe and the network.

    Returns
    -------
    dict
        Of DINO's own file the published recipe, unless other features than keys are asked for; of
        other vision transformers the weighted one of the tokens, and of all others that of the
        last map.
    """
    arch = values.get("arch", "")
    backbone = open_backbone(weights_file(weights), arch if isinstance(arch, str) else "")
    is_published = backbone.is_dino and values.get("features", "key") == "key"
    recipe = values.get("recipe", "published" if is_published else "weighted")
    defaults = {"recipe": recipe, "side": backbone.side}
    # The published recipe brings its own features along.
    return defaults if recipe == "published" else defaults | {"features": backbone.features[0]}


def _require_features(backbone: Backbone, parameters: TokenCutParameters) -> None:
    """Refuse features that a network of this kind does not have."""
    if parameters.features not in backbone.features:
        advice = f"give --set features={backbone.features[0]}"
        if parameters.recipe == "published":
            advice = f"recipe=published takes keys of a vision transformer: {advice} too"
        raise CheckpointError(
            f"features must be one of {', '.join(backbone.features)} for {backbone.source}, "
            f"got {parameters.features}: {advice}"
        )


def _start(network: TokenCutNetwork) -> None:
    """Bring a network to its device, and see that it has cells, by a black image."""
    side, source = network.parameters.side, network.backbone.source
    try:
        network.backbone.resize(side)
        network.backbone.network.to(network.device)
        with torch.inference_mode():
            height, width = network._cells(np.zeros((1, side, side, 3), np.uint8)).shape[1:3]
    except (DiloError, torch.OutOfMemoryError):
        raise
    # What timm's networks say of images that they do not take, and of maps that they have not.
    except Exception as error:
        raise CheckpointError(
            f"{source} must be a network that gives features of the cells of images of {side} px, "
            f"got {type(error).__name__}: {error}: give another --set side=..., or a ResNet or a "
            "vision transformer"
        ) from error
    if height * width < _MIN_CELLS:
        raise CheckpointError(
            f"side must be large enough for {_MIN_CELLS} cells of {source}, got {side}, which "
            f"makes {height} x {width}: give a larger --set side=..."
        )
