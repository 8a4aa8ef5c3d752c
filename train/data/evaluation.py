"""Images as evaluations see them: the middle of each, or all of it, or why it cannot be read."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import functional

from dilo.pipeline.errors import ImageError, require_access
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.images.source import ImageSource

Item = tuple[int, Tensor | str]


def center_crop(image: NDArray[np.uint8], size: int) -> Tensor:
    """Resize the short side to 256/224 of `size`, antialiased, and crop the centre.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation
       Learning", CVPR 2020: at 224 px, the published centre crop of 256 px.
    """
    resized = functional.resize(Image.fromarray(image), [round(size * 256 / 224)])
    crop: Tensor = functional.pil_to_tensor(functional.center_crop(resized, [size, size]))
    return crop


def squashed(image: NDArray[np.uint8], size: int) -> Tensor:
    """Squash the whole image to a square, as masks are made of it."""
    return torch.from_numpy(squash(image, size).transpose(2, 0, 1).copy())


class EvalImages(Dataset[Item]):
    """Evaluation crops by position; the reason, in words, where an image cannot be read.

    Parameters
    ----------
    images : ImageSource
        Where they are read.
    names : Names
        Their relative paths.
    size : int
        Side of a crop in pixels.
    crop : callable, default `center_crop`
        What makes a crop of an image: that, or `squashed`.
    """

    def __init__(
        self,
        images: ImageSource,
        names: Names,
        size: int,
        crop: Callable[[NDArray[np.uint8], int], Tensor] = center_crop,
    ) -> None:
        self._images = images
        self._names = names
        self._size = size
        self._crop = crop

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, position: int) -> Item:
        name = self._names[position]
        try:
            image = self._images.decode(name)
        except ImageError as error:
            # Left out where it is no image; not where the system does not give it now.
            require_access(error, self._images.location(name))
            return position, str(error)
        return position, self._crop(image, self._size)


class EvalBatch(NamedTuple):
    """Crops of some images, and the others of them."""

    #: Of the B images that could be read.
    positions: list[int]
    #: Of shape (B, 3, s, s), uint8.
    crops: Tensor
    #: Positions of the others, and why.
    failures: list[tuple[int, str]]


def collate(items: list[Item]) -> EvalBatch:
    """Part the crops from the failures; bytes travel between processes, floats are made later."""
    crops = {position: crop for position, crop in items if isinstance(crop, Tensor)}
    failures = [(position, reason) for position, reason in items if isinstance(reason, str)]
    stacked = torch.stack(list(crops.values())) if crops else torch.empty(0)
    return EvalBatch(list(crops), stacked, failures)
