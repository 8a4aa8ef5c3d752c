"""A contrastive network that makes masks, by the negatives that its own checkpoint holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models.resnet import ResNet

from dilo.eval.attribution.contrast import contrast_maps
from dilo.eval.attribution.heatmaps import stretched
from dilo.eval.attribution.maskmethods import ContraCamParameters
from dilo.eval.models.encoder import Encoder, encoder_of
from dilo.pipeline.common.printing import counted
from dilo.pipeline.errors import CheckpointError, RecipeError
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency.network import MaskNetwork
from dilo.train.engine.checkpoint import checkpoint_file
from dilo.train.networks.encoder import dilate_last_layer
from dilo.train.runtime.devices import choose_device, move_images
from dilo.train.weights.formats import read_weights
from dilo.train.weights.layouts import CheckpointWeights, find_backbones, find_negatives


@dataclass(frozen=True, eq=False)
class ContrastNetwork:
    """A network whose contrast with its negatives is mapped, an image at a time or many.

    Attributes
    ----------
    encoder : Encoder
        With its projection head, on its device.
    negatives : tuple of Tensor of shape (K, D), float32
        As `contrast_maps` takes them, there too.
    side : int
        Side of the images that it sees, in pixels.
    """

    encoder: Encoder
    negatives: tuple[Tensor, ...]
    side: int

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
        return squash(image, self.side)

    def maps(self, pixels: NDArray[Any], paths: Sequence[str]) -> NDArray[np.float32]:
        """Map the contrast of each image.

        Parameters
        ----------
        pixels : ndarray of shape (B, side, side, 3), uint8
            What `prepare` made, stacked.
        paths : sequence of str
            The images, as images.txt names them.

        Returns
        -------
        ndarray of shape (B, side, side), float32
            As `contrast_maps` gives them, each of its image alone.
        """
        images = move_images(pixels, self.negatives[0].device) / 255
        maps: NDArray[np.float32]
        maps = contrast_maps(self.encoder, self.negatives, images).cpu().numpy()
        return maps

    def finish(self, pixels: NDArray[Any], output: NDArray[np.float32]) -> NDArray[np.float64]:
        """Make saliency of a map.

        Parameters
        ----------
        pixels : ndarray of shape (side, side, 3), uint8
            What `prepare` made.
        output : ndarray of shape (side, side), float32
            Its map.

        Returns
        -------
        ndarray of shape (side, side), float64
            The map from its least value, 0, to its greatest, 1; zeros for a constant one.

        Raises
        ------
        ValueError
            If the map is not finite.
        """
        if not np.isfinite(output).all():
            raise ValueError("a map of contracam must be finite, got NaN or infinity")
        return stretched(output.astype(np.float64))


def open_contrast(
    weights: Path, parameters: ContraCamParameters, device: str, names: Names | None
) -> MaskNetwork:
    """Open the network of a contrastive method, for maps of its contrast.

    Parameters
    ----------
    weights : Path
        A checkpoint of MoCo, InstDisc or CMC, with its negatives, or the run that made it.
    parameters : ContraCamParameters
        What it sees, and the stride of its last stage.
    device : str
        As torch names it, or "auto".
    names : Names or None
        Not needed.

    Returns
    -------
    MaskNetwork
        Whose saliency is the map, stretched by its own least and greatest value.

    Raises
    ------
    DiloError
        If the file has no negatives, no projection head or no feature maps, or the device cannot
        be had.
    """
    place = choose_device(device)
    encoder, negatives = load_contrast(weights, parameters.arch or None, parameters.side)
    side = parameters.side
    if parameters.layer4_stride == 1:
        _keep_cells(encoder)
    encoder.network.to(place)
    moved = tuple(bank.to(place) for bank in negatives)
    network = ContrastNetwork(encoder, moved, side)
    try:  # on a black image, to see that it has what maps are made of
        network.maps(np.zeros((1, side, side, 3), np.uint8), [""])
    except RecipeError as error:
        raise CheckpointError(
            f"{encoder.source} must have feature maps for contracam, got none from "
            f"{encoder.model.arch}: take a convolutional network"
        ) from error
    return network


def load_contrast(
    path: Path, arch: str | None = None, side: int | None = None
) -> tuple[Encoder, tuple[Tensor, ...]]:
    """Read a network with its head, and for each of its backbones the negatives.

    Parameters
    ----------
    path : Path
        A checkpoint, or the folder of a run, which stands for its newest checkpoint.
    arch : str, optional
        Name of the network; by default what the file says.
    side : int, optional
        Of the images, in pixels; by default that of the recipe in the file, or 224.

    Returns
    -------
    Encoder
        In eval mode, frozen.
    tuple of Tensor of shape (K, D), float32
        As `contrast_maps` takes them.

    Raises
    ------
    CheckpointError
        If it cannot be read, or lacks either.
    """
    source = checkpoint_file(path)
    content = read_weights(source)
    negatives = find_negatives(content)
    if not negatives:
        raise CheckpointError(
            f"--weights {path} must hold the negatives that contracam contrasts an image with, a "
            "queue as MoCo's or a memory bank as InstDisc's and CMC's, got neither: SimCLR and "
            "supervised training keep none, nor do exports; take a checkpoint of another method"
        )
    weights = find_backbones(content, source, arch)
    _require_heads(weights, path)
    encoder = encoder_of(content, weights, source, arch, side, "embedding")
    _require_fit(encoder, weights, negatives, path)
    # The halves of a pair are each contrasted with the other's bank.
    return encoder, tuple(bank.float() for bank in reversed(negatives))


def _require_heads(weights: CheckpointWeights, path: Path) -> None:
    """Refuse a backbone without its head."""
    if not all(weights.heads):
        raise CheckpointError(
            f"--weights {path} must hold the projection head, which the negatives are seen "
            "through, got a backbone alone: take the checkpoint of the training itself"
        )


def _require_fit(
    encoder: Encoder, weights: CheckpointWeights, negatives: Sequence[Tensor], path: Path
) -> None:
    """Refuse negatives that are not embeddings of the networks."""
    width, count = encoder.model.dim, len(weights.backbones)
    shapes = [tuple(bank.shape) for bank in negatives]
    fits = len(shapes) == count and all(
        len(shape) == 2 and shape[0] > 0 and shape[1] == width for shape in shapes
    )
    if not fits:
        raise CheckpointError(
            f"--weights {path} must hold {counted(count, 'array')} of negatives with {width} "
            f"numbers in a row, got {', '.join(map(str, shapes))}: take another checkpoint"
        )
    if not all(bank.is_floating_point() and bool(bank.isfinite().all()) for bank in negatives):
        raise CheckpointError(
            f"--weights {path} must hold finite negatives, got others: take another checkpoint"
        )


def _keep_cells(encoder: Encoder) -> None:
    """Let the last stages of ResNets keep their cells, whose side they were trained to halve."""
    backbones = [module for module in encoder.network.modules() if isinstance(module, ResNet)]
    if not backbones:
        raise CheckpointError(
            f"{encoder.source} must be a ResNet for layer4_stride=1, got {encoder.model.arch}: "
            "leave it at 2"
        )
    for backbone in backbones:
        dilate_last_layer(backbone)
