"""Where the objects are: masks or boxes, and the images that have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.eval.common.pairing import Method, Photographs, PngFolder
from dilo.eval.localize.annotations import Annotation, read_annotations
from dilo.eval.localize.boxes import Boxes, components, filled, scaled
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images import decode
from dilo.pipeline.images.resizing import squash, stretch_mask
from dilo.pipeline.masks.files import same_proportions


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of an image that was squashed to a square.

    Attributes
    ----------
    mask : ndarray of shape (S, S), bool
        Whether a pixel belongs to an object, or to a box of one.
    boxes : ndarray of shape (N, 4), int64
        x0, y0, x1, y1, the last column and row included; none where there is no object.
    """

    mask: NDArray[np.bool_]
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
        """List what there is.

        Returns
        -------
        sequence of str
            Relative paths without extension.
        """

    def remarks(self) -> list[str]:
        """Say what is odd about it.

        Returns
        -------
        list of str
            Lines.
        """

    def objects(self, key: str, shape: tuple[int, ...], size: int) -> Objects:
        """Tell where the objects of an image are.

        Parameters
        ----------
        key : str
            One of `keys`.
        shape : tuple of int
            Height and width of the image, and what may follow.
        size : int
            Side of the square that it is squashed to.

        Returns
        -------
        Objects
            In the square.
        """


class MaskTruth:
    """Objects by masks: PNGs, white where the object is.

    Parameters
    ----------
    folder : Path
        The masks.
    images : Path, optional
        Folder of the images; where it is the very folder, PNGs alone are masks.

    Raises
    ------
    DiloError
        If there is no mask, or two have one name.
    """

    by_pixel = True

    def __init__(self, folder: Path, images: Path | None = None) -> None:
        self.path = folder
        self.where = f"--truth {folder}"
        self._folder = PngFolder(folder, "--truth", images)

    def remarks(self) -> list[str]:
        """Say what is odd about the masks, by a few of them.

        Returns
        -------
        list of str
            Lines; none where nothing is.
        """
        return self._folder.remarks()

    @property
    def keys(self) -> Sequence[str]:
        """List what there is.

        Returns
        -------
        sequence of str
            Relative paths without extension, in order.
        """
        return self._folder.keys

    def objects(self, key: str, shape: tuple[int, ...], size: int) -> Objects:
        """Read a mask.

        Parameters
        ----------
        key : str
            One of `keys`.
        shape : tuple of int
            Height and width of the image, whose proportions the mask must have.
        size : int
            Side of the square.

        Returns
        -------
        Objects
            What is above 128 at the pixel nearest to each of the square's; a box about each
            connected component.

        Raises
        ------
        DiloError
            If the file cannot be read, is neither black nor white anywhere, or has other
            proportions than its image.
        """
        picture = Image.fromarray(self._folder.read_truth(key, shape))
        mask = np.array(picture.resize((size, size), Image.Resampling.NEAREST))
        return Objects(mask, components(mask)[0])


class BoxTruth:
    """Objects by boxes: of a CSV file, or of XML files.

    Parameters
    ----------
    path : Path
        As `read_annotations` takes it.

    Raises
    ------
    DiloError
        If there is none, or one cannot be read.
    """

    by_pixel = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = f"--boxes {path}"
        self._annotations: Mapping[str, Annotation] = read_annotations(path)

    @property
    def keys(self) -> Sequence[str]:
        """List what there is.

        Returns
        -------
        sequence of str
            Relative paths of the images without extension.
        """
        return list(self._annotations)

    def remarks(self) -> list[str]:
        """Say what is odd about the boxes.

        Returns
        -------
        list of str
            Nothing: reading them refuses it.
        """
        return []

    def objects(self, key: str, shape: tuple[int, ...], size: int) -> Objects:
        """Scale the boxes of an image.

        Parameters
        ----------
        key : str
            One of `keys`.
        shape : tuple of int
            Height and width of the image, for boxes that do not say what they were drawn on.
        size : int
            Side of the square.

        Returns
        -------
        Objects
            The boxes, and all that lies in any of them.
        """
        annotation = self._annotations[key]
        width, height = annotation.size or (shape[1], shape[0])
        drawn = np.array(annotation.boxes, np.float64).reshape(-1, 4)
        boxes = scaled(drawn, width, height, size)
        return Objects(filled(boxes, size), boxes)


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
