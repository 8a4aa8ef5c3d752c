"""Masks by a network that was trained for them: what it sees, computes, and what comes of it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dilo.pipeline.common.compiled import compiled
from dilo.pipeline.images.names import Names
from dilo.pipeline.saliency.networkparameters import SalientObjectParameters
from dilo.pipeline.saliency.values import stretch
from dilo.train.augment.color import normalise
from dilo.train.runtime.devices import DTYPES, choose_device, choose_precision, move_images
from dilo.train.saliency.networks import read_network


class SalientObjectNetwork:
    """A network for saliency on a device, fed as BASNet's authors feed theirs.

    Several threads may ask for maps at once: while one waits for its maps, another's batch is
    copied.

    Parameters
    ----------
    network : Module
        As `dilo.train.saliency.networks.NETWORKS` says, in eval mode.
    parameters : SalientObjectParameters
        Its side, and in what it computes.
    device : str
        As `dilo.train.runtime.devices.choose_device` takes it.

    Raises
    ------
    DiloError
        If there is no such device, or it cannot compute in the precision.

    Notes
    -----
    In memory, channels come last: that saves a tenth to a third of the time on a CPU. On a GPU
    "fp32" multiplies in TensorFloat-32 where the GPU has it, as torch does unless told otherwise.
    """

    def __init__(
        self, network: nn.Module, parameters: SalientObjectParameters, device: str
    ) -> None:
        self._side, self._mirror = parameters.side, parameters.mirror
        self._device = choose_device(device)
        self._precision = choose_precision(parameters.precision, self._device)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Squash an image to a square, and divide it by its own maximum.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            The whole image, RGB.

        Returns
        -------
        ndarray of shape (side, side, 3), float32
            In [0, 1]; a black image stays black.

        Notes
        -----
        Bilinear, without a filter against aliasing. Of an image with a side smaller than this,
        the published code (scikit-image 0.14 with mode "constant") darkens the outermost pixels,
        which it mixes with the black around the image; here they are the image's own.
        """
        squashed = _squash(image, self._side)
        seen: NDArray[np.float32] = squashed / (squashed.max() or np.float32(1))
        return seen

    def maps(self, seen: NDArray[np.float32], paths: Sequence[str]) -> NDArray[np.float32]:
        """Compute the maps of a batch, on the device.

        Parameters
        ----------
        seen : ndarray of shape (B, side, side, 3), float32
            What `prepare` made, stacked.
        paths : sequence of str
            Not needed.

        Returns
        -------
        ndarray of shape (B, side, side), float32
            Probabilities, whatever the precision; where the mirrored image counts, the mean.
        """
        half = self._precision != "fp32"
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, DTYPES[self._precision], enabled=half),
        ):
            # Channels last, as the network has them.
            images = normalise(move_images(seen, self._device))
            maps = self._probabilities(images)
            if self._mirror:
                maps = (maps + self._probabilities(images.flip(3)).flip(2)) / 2
            return maps.cpu().numpy()

    def _probabilities(self, images: Tensor) -> Tensor:
        """Compute the maps (B, side, side) of images (B, 3, side, side)."""
        logits: Tensor = self._network(images)[0]
        return logits[:, 0].float().sigmoid()

    def finish(self, seen: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float64]:
        """Stretch a map to [0, 1].

        Parameters
        ----------
        seen : ndarray of shape (side, side, 3), float32
            Not needed.
        found : ndarray of shape (side, side), float32
            A map of `maps`.

        Returns
        -------
        ndarray of shape (side, side), float64
            Its smallest value is 0 and its largest 1; zeros where all are the same.

        Raises
        ------
        ValueError
            If it is not finite.
        """
        if not np.isfinite(found).all():
            raise ValueError(
                "the map must be finite, got NaN or infinity: compute in another precision"
            )
        return stretch(found.astype(np.float64))


def open_network(
    arch: str,
    weights: Path,
    parameters: SalientObjectParameters,
    device: str,
    names: Names | None,
) -> SalientObjectNetwork:
    """Open a network that was trained for saliency.

    Parameters
    ----------
    arch : str
        A key of `dilo.train.saliency.networks.NETWORKS`.
    weights : Path
        As `dilo.train.saliency.networks.read_network` takes it.
    parameters : SalientObjectParameters
        Its side, and in what it computes.
    device : str
        As `dilo.train.runtime.devices.choose_device` takes it.
    names : Names or None
        Not needed.

    Returns
    -------
    SalientObjectNetwork
        With its weights.

    Raises
    ------
    DiloError
        If the weights are not its own, or the device cannot do what is asked.
    """
    return SalientObjectNetwork(read_network(weights, arch), parameters, device)


open_basnet = partial(open_network, "basnet")
open_unet = partial(open_network, "unet")


def _squash(image: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Resize bilinearly to (side, side, 3).

    Fractions count: rounded to whole levels, as they would be smaller on the way to a GPU, a
    network's masks move by up to five levels, though none more accurate or less.
    """
    return _interpolate(
        image, *_neighbours(image.shape[0], side), *_neighbours(image.shape[1], side)
    )


def _neighbours(
    length: int, side: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Find the two pixels around each new one of a line, and its distance from the first."""
    places = ((np.arange(side) + 0.5) * (length / side) - 0.5).clip(0, length - 1)
    first = places.astype(np.intp)
    return first, np.minimum(first + 1, length - 1), (places - first).astype(np.float32)


@compiled
def _interpolate(
    image: NDArray[np.uint8],
    top: NDArray[np.intp],
    bottom: NDArray[np.intp],
    down: NDArray[np.float32],
    left: NDArray[np.intp],
    right: NDArray[np.intp],
    across: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Interpolate between the four pixels around each new one; a pass, without copies of them."""
    squashed = np.empty((len(top), len(left), 3), np.float32)
    for r in range(len(top)):
        above, below = image[top[r]], image[bottom[r]]
        for c in range(len(left)):
            for channel in range(3):
                first = np.float32(above[left[c], channel])
                second = np.float32(above[right[c], channel])
                upper = first + across[c] * (second - first)
                first = np.float32(below[left[c], channel])
                second = np.float32(below[right[c], channel])
                lower = first + across[c] * (second - first)
                squashed[r, c, channel] = upper + down[r] * (lower - upper)
    return squashed
