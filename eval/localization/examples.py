"""What is scored: an image, its objects, and the maps that are on disk, squashed to squares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilo.eval.localization.truth import Objects, Truth
from dilo.eval.saliency.examples import Photographs
from dilo.eval.saliency.sources import Method
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images import decode
from dilo.pipeline.images.resizing import squash, stretch_mask
from dilo.pipeline.masks.files import same_proportions


@dataclass(frozen=True, eq=False)
class Example:
    """An image to score maps of.

    Attributes
    ----------
    key : str
        Of its truth.
    path : str
        Of the image, relative to its folder.
    shape : (int, int)
        Height and width of the image before it was squashed.
    image : ndarray of shape (S, S, 3), uint8
        Its pixels.
    objects : Objects
        Where its objects are.
    stored : sequence of ndarray of shape (S, S), uint8
        Its maps, one for each folder of maps.
    """

    key: str
    path: str
    shape: tuple[int, int]
    image: NDArray[np.uint8]
    objects: Objects
    stored: Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Collection:
    """The images, their truth, and maps of them.

    Attributes
    ----------
    photographs : Photographs
        The images by the key of their truth.
    truth : Truth
        Where the objects are.
    methods : sequence of Method
        Folders of maps.
    size : int
        Side of the squares.
    """

    photographs: Photographs
    truth: Truth
    methods: Sequence[Method]
    size: int

    @property
    def folder(self) -> Path:
        """Say where the images are.

        Returns
        -------
        Path
            Their folder.
        """
        return self.photographs.folder

    @property
    def files(self) -> Mapping[str, str]:
        """Say which image belongs to which truth.

        Returns
        -------
        mapping of str to str
            Relative paths by the key of the truth.
        """
        return self.photographs.files

    def read(self, key: str) -> Example | str:
        """Read an image and all that is known of it.

        Parameters
        ----------
        key : str
            Of its truth.

        Returns
        -------
        Example or str
            Or why it must be left out: one of its files cannot be read, or there is no object.
        """
        path = self.files[key]
        try:
            image = decode(self.folder / path)
            objects = self.truth.objects(key, image.shape, self.size)
            stored = [self._map(method, key, image.shape) for method in self.methods]
        except DiloError as error:
            return str(error)
        if not len(objects.boxes):
            return f"there is no object in its truth, {self.truth.where}"
        shape = (image.shape[0], image.shape[1])
        return Example(key, path, shape, squash(image, self.size), objects, stored)

    def _map(self, method: Method, key: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Read a map, and refuse one of another picture than the image."""
        found = method.source.read(method.pairs[key])
        if not same_proportions(found.shape, shape[:2]):
            raise DiloError(
                f"its map in {method.source.folder} must have the image's proportions, "
                f"{shape[1]} x {shape[0]}, or be square, got {found.shape[1]} x {found.shape[0]}"
            )
        return stretch_mask(found, (self.size, self.size))
