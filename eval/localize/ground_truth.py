"""Where the objects are: masks or boxes, and the images that have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.eval.common.pairing import ImagesOfTruth, MaskSource, PngFolder
from dilo.eval.localize.annotations import Annotation, read_annotations
from dilo.eval.localize.boxes import Boxes, components, filled, scaled
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.resizing import squash, stretch_mask
from dilo.pipeline.masks.files import same_proportions


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of an image that was squashed to a square."""

    #: Whether a pixel belongs to an object, or to a box of one; of shape (S, S), bool.
    mask: NDArray[np.bool_]
    #: x0, y0, x1, y1, the last column and row included; none where there is no object; of shape
    #: (N, 4), int64.
    boxes: Boxes


class Truth(Protocol):
    """The objects of many images.

    Attributes
    ----------
    where : str
        The option and the path, for messages.
    path : Path
        The folder or file.
    by_pixel : bool
        Whether it tells the pixels of an object, or boxes alone.
    """

    where: str
    path: Path
    by_pixel: bool

    @property
    def keys(self) -> Sequence[str]:
        """List what there is."""

    def remarks(self) -> list[str]:
        """Say what is odd about it."""

    def objects(self, key: str, shape: tuple[int, ...], size: int) -> Objects:
        """Tell where the objects of an image are."""


class MaskTruth:
    """Objects by masks: PNGs, white where the object is."""

    by_pixel = True

    def __init__(self, folder: Path, images: Path | None = None) -> None:
        self.path = folder
        self.where = f"--truth {folder}"
        self._folder = PngFolder(folder, "--truth", images)

    def remarks(self) -> list[str]:
        """Say what is odd about the masks, by a few of them."""
        return self._folder.remarks()

    @property
    def keys(self) -> Sequence[str]:
        """List what there is."""
        return self._folder.keys

    def objects(self, key: str, shape: tuple[int, ...], size: int) -> Objects:
        """Read a mask."""
        picture = Image.fromarray(self._folder.read_truth(key, shape))
        mask = np.array(picture.resize((size, size), Image.Resampling.NEAREST))
        return Objects(mask, components(mask)[0])


class BoxTruth:
    """Objects by boxes: of a CSV file, or of XML files."""

    by_pixel = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = f"--boxes {path}"
        self._annotations: Mapping[str, Annotation] = read_annotations(path)

    @property
    def keys(self) -> Sequence[str]:
        """List what there is."""
        return list(self._annotations)

    def remarks(self) -> list[str]:
        """Say what is odd about the boxes."""
        return []

    def objects(self, key: str, shape: tuple[int, ...], size: int) -> Objects:
        """Scale the boxes of an image."""
        annotation = self._annotations[key]
        width, height = annotation.size_for(shape)
        drawn = np.array(annotation.boxes, np.float64).reshape(-1, 4)
        boxes = scaled(drawn, width, height, size)
        return Objects(filled(boxes, size), boxes)


@dataclass(frozen=True, eq=False)
class Sample:
    """An image to score maps of."""

    #: Of its truth.
    key: str
    #: Of the image, relative to its folder.
    path: str
    #: Height and width of the image before it was squashed.
    shape: tuple[int, int]
    #: Its pixels; of shape (S, S, 3), uint8.
    image: NDArray[np.uint8]
    #: Where its objects are.
    objects: Objects
    #: Its maps, one for each folder of maps; of shape (S, S), uint8.
    stored: Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images, their truth, and maps of them."""

    #: The images by the key of their truth.
    photographs: ImagesOfTruth
    #: Where the objects are.
    truth: Truth
    #: Folders of maps.
    methods: Sequence[MaskSource]
    #: Side of the squares.
    size: int

    @property
    def folder(self) -> Path:
        """Say where the images are, for messages."""
        return self.photographs.images.path

    @property
    def files(self) -> Mapping[str, str]:
        """Say which image belongs to which truth."""
        return self.photographs.files

    def read(self, key: str) -> Sample | str:
        """Read an image and all that is known of it."""
        path = self.files[key]
        try:
            image = self.photographs.images.decode(path)
            objects = self.truth.objects(key, image.shape, self.size)
            stored = [self._map(method, key, image.shape) for method in self.methods]
        except DiloError as error:
            return str(error)
        if not len(objects.boxes):
            return f"there is no object in its truth, {self.truth.where}"
        shape = (image.shape[0], image.shape[1])
        return Sample(key, path, shape, squash(image, self.size), objects, stored)

    def _map(self, method: MaskSource, key: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Read a map, and refuse one of another picture than the image."""
        saliency = method.source.read(method.pairs[key])
        height, width = saliency.shape
        if not same_proportions((height, width), shape[:2]):
            raise DiloError(
                f"its map in {method.source.folder} must have the image's proportions, "
                f"{shape[1]} x {shape[0]}, or be square, got {width} x {height}"
            )
        return stretch_mask(saliency, (self.size, self.size))
