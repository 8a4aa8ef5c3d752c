"""A network that is open: images to masks in three steps, of which the second takes a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.saliency.network import InputArray, MaskNetwork, NetworkMethod
from dilo.pipeline.saliency.recipe import MaskRecipe
from dilo.pipeline.saliency.weights import weights_digest


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """An image that is ready for the device.

    Attributes
    ----------
    pixels : ndarray of shape (side, side, 3)
        What the network looks at.
    squashed : ndarray of shape (side, side, 3), uint8, or None
        The image, for the refinement; None without one.
    """

    pixels: InputArray
    squashed: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class NetworkMasks:
    """A recipe whose network is open.

    Attributes
    ----------
    recipe : MaskRecipe
        What decides a mask.
    network : MaskNetwork
        With its weights, on its device.
    """

    recipe: MaskRecipe
    network: MaskNetwork

    def prepare(self, image: NDArray[np.uint8]) -> NetworkInput:
        """Make of an image what the device takes; for several threads at once.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            The whole image, RGB.

        Returns
        -------
        NetworkInput
            What the network looks at, and what a refinement needs.
        """
        is_refined = self.recipe.refinement is not None
        squashed = squash(image, self.recipe.side) if is_refined else None
        return NetworkInput(self.network.prepare(image), squashed)

    def maps(self, inputs: Sequence[NetworkInput], paths: Sequence[str]) -> NDArray[np.float32]:
        """Compute the maps of a batch, on the device.

        Parameters
        ----------
        inputs : sequence of NetworkInput
            B images.
        paths : sequence of str
            Theirs, as `names` gives them.

        Returns
        -------
        ndarray of shape (B, S, S), float32
            As the network gives them.

        Raises
        ------
        ValueError
            If it gives anything else.
        """
        maps = self.network.maps(np.stack([image.pixels for image in inputs]), paths)
        if maps.ndim != 3 or len(maps) != len(inputs):
            raise ValueError(f"maps must have shape ({len(inputs)}, S, S), got {maps.shape}")
        return maps

    def finish(
        self, network_input: NetworkInput, output: NDArray[np.float32], size: int
    ) -> NDArray[np.uint8]:
        """Make a mask of a map; for several threads at once.

        Parameters
        ----------
        network_input : NetworkInput
            The image.
        output : ndarray of shape (S, S), float32
            Its map.
        size : int
            Side of the mask, in pixels.

        Returns
        -------
        ndarray of shape (size, size), uint8
            Of the map's own size where that is asked for: it is not resized then.

        Raises
        ------
        ValueError
            If the map is none: NaN, or of values that are not from 0 to 1.
        """
        if not np.isfinite(output).all():
            raise ValueError("a map must be finite, got NaN or infinity from the network")
        saliency = self.network.finish(network_input.pixels, output)
        image = network_input.squashed
        if image is None:  # without a refinement nobody looks at it
            image = np.empty((0, 0, 3), np.uint8)
        return self.recipe.to_mask(image, saliency, size)

    def __call__(self, image: NDArray[np.uint8], size: int, path: str = "") -> NDArray[np.uint8]:
        """Make the (size, size) mask of an (H, W, 3) image."""
        network_input = self.prepare(image)
        return self.finish(network_input, self.maps([network_input], [path])[0], size)


def open_masks(
    recipe: MaskRecipe, weights: Path, device: str, names: Names | None = None
) -> NetworkMasks:
    """Open the network of a recipe.

    Parameters
    ----------
    recipe : MaskRecipe
        Of a network.
    weights : Path
        Its file of weights.
    device : str
        Where it computes, as torch names it: "cpu", "cuda:0".
    names : Names, optional
        The images of the store; none outside of one.

    Returns
    -------
    NetworkMasks
        Ready for images.

    Raises
    ------
    DiloError
        If the file is not the one that the recipe was made for, does not fit the network, or
        torch is not installed.
    """
    if not isinstance(recipe.method, NetworkMethod):
        raise TypeError(f"recipe must be a network's, got {recipe.name}'s")
    expected, digest = recipe.method.parameters.weights, weights_digest(weights)
    if expected != digest:
        raise DiloError(
            f"--weights {weights} must be the file that the masks are planned with, of SHA-256 "
            f"{expected}, got {digest}: give that file, or a fresh --out"
        )
    return NetworkMasks(recipe, recipe.method.open(weights, device, names))
