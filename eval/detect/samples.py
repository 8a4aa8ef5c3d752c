"""Images with their objects, resized and mirrored for a detector."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from dilo.eval.detect.annotations import Annotated, DetectionSet, outlines, size_mismatch
from dilo.eval.detect.batches import SampleKey
from dilo.eval.detect.recipe import DetectionRecipe, InputRecipe
from dilo.pipeline.common.rng import generator
from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images import decode
from dilo.pipeline.masks.segmentations import Polygons
from dilo.train.data.dataset import BatchCounts

#: What a stream of numbers is for: half of Philox's key, far from those of pretraining.
INPUT, BOXES = 2**33, 2**33 + 1
#: Objects with a side that is not longer are no objects, in pixels.
_SHORTEST: Final = 1e-5


@dataclass(frozen=True, eq=False)
class Sample:
    """An image to learn from."""

    #: RGB, of shape (3, H, W), uint8.
    image: Tensor
    #: x0, y0, x1, y1 in its pixels, of shape (N, 4), float32.
    boxes: Tensor
    #: From 1, of shape (N,), int64.
    labels: Tensor
    #: In its pixels, one tuple an object; empty of a detector without masks.
    polygons: tuple[Polygons, ...]
    key: SampleKey

    def pin_memory(self) -> "Sample":
        """Move the pixels to where a GPU copies them from without waiting, as loaders ask."""
        return replace(self, image=self.image.pin_memory())


class DetectionBatch(NamedTuple):
    """The groups of a batch that this rank holds."""

    samples: tuple[Sample, ...]

    def counts(self) -> BatchCounts:
        """Count what is in it."""
        return BatchCounts(images=len(self.samples))


class TrainingImages(Dataset[Sample]):
    """Samples by their key, whoever makes them.

    Parameters
    ----------
    data : DetectionSet
        Images and objects.
    recipe : DetectionRecipe
        Seed, sides, and whether there are masks.
    """

    def __init__(self, data: DetectionSet, recipe: DetectionRecipe) -> None:
        self._data, self._recipe = data, recipe

    def __getitem__(self, key: SampleKey) -> Sample:
        """Read, resize and mirror an image; crowds are left out."""
        recipe, image = self._recipe, self._data.images[key.image]
        place = key.group * recipe.per_group + key.place
        side, flip = generator(recipe.seed, INPUT, key.iteration, place).random(2).tolist()
        chosen = recipe.data.sides[int(side * len(recipe.data.sides))]
        pixels = read_image(image)
        resized = resize(pixels, *input_shape(pixels.shape[:2], chosen, recipe.data.longest))
        mirrored = flip < 0.5
        objects = _objects(image, resized.shape[:2], mirrored=mirrored, masks=recipe.model.masks)
        shown = resized[:, ::-1] if mirrored else resized
        tensor = torch.from_numpy(np.ascontiguousarray(shown.transpose(2, 0, 1)))
        return Sample(tensor, *objects, key)


def collate(samples: Sequence[Sample]) -> DetectionBatch:
    """Put samples of their own sizes side by side."""
    return DetectionBatch(tuple(samples))


def read_image(image: Annotated) -> NDArray[np.uint8]:
    """Decode an image, (H, W, 3) RGB; one of another size than its annotations say is refused."""
    try:
        pixels = decode(image.path)
    except ImageError as error:
        raise DiloError(
            f"{image.path} must be an image that can be read, got: {error}: take the data set's own"
        ) from error
    if pixels.shape[:2] != (image.height, image.width):
        raise size_mismatch(image, pixels.shape[:2])
    return pixels


def input_shape(shape: Sequence[int], side: int, longest: int) -> tuple[int, int]:
    """Return height and width at which a detector sees an image.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image, in pixels.
    side : int
        What its shorter side becomes.
    longest : int
        What its longer side is at most, for which the shorter one gives way.

    Returns
    -------
    (int, int)
        In pixels, rounded half up.

    Examples
    --------
    >>> input_shape((375, 500), 800, 1333), input_shape((200, 500), 800, 1333)
    ((800, 1067), (533, 1333))
    """
    height, width = shape
    scale = side / min(height, width)
    scaled = [side, scale * width] if height < width else [scale * height, side]
    if max(scaled) > longest:
        scaled = [each * (longest / max(scaled)) for each in scaled]
    return int(scaled[0] + 0.5), int(scaled[1] + 0.5)


def resize(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize an image, (H, W, 3), with Pillow's antialiased bilinear filter."""
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def _objects(
    image: Annotated, shape: Sequence[int], *, mirrored: bool, masks: bool
) -> tuple[Tensor, Tensor, tuple[Polygons, ...]]:
    """Move the objects of an image to where they are at another size, and mirror them."""
    height, width = shape
    ratios = np.array([width / image.width, height / image.height] * 2)
    boxes = image.boxes.astype(np.float64) * ratios
    if mirrored:
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    boxes = boxes.clip(0, [width, height] * 2).astype(np.float32)
    usable = ~image.crowd & ((boxes[:, 2:] - boxes[:, :2]) > _SHORTEST).all(1)
    polygons: list[Polygons] = []
    if masks:  # of each object, which `require_masks` looked after
        segmentation = cast("tuple[Polygons, ...]", image.segmentation)
        for number in np.flatnonzero(usable):
            moved = _moved(segmentation[number], ratios[:2], width if mirrored else None)
            usable[number] = bool(moved)
            polygons += [moved] if moved else []
    labels = torch.from_numpy(image.labels[usable] + 1)
    return torch.from_numpy(boxes[usable]), labels, tuple(polygons)


def _moved(mask: Polygons, ratios: NDArray[np.float64], mirror: int | None) -> Polygons:
    """Move the outlines of an object to where they are at another size, and mirror them."""
    moved = []
    for points in outlines(mask):
        corners = points.reshape(-1, 2) * ratios
        if mirror is not None:
            corners[:, 0] = mirror - corners[:, 0]
        moved.append(corners.ravel())
    return tuple(moved)


class TestImages(Dataset[tuple[int, Tensor]]):
    """Images at the size of evaluation, by their position in the set.

    Parameters
    ----------
    data : DetectionSet
        The images.
    recipe : InputRecipe
        The size.
    """

    __test__ = False  # no class of tests, whatever its name

    def __init__(self, data: DetectionSet, recipe: InputRecipe) -> None:
        self._data, self._recipe = data, recipe

    def __getitem__(self, number: int) -> tuple[int, Tensor]:
        """Read and resize an image: its position, and RGB of shape (3, H, W), uint8."""
        pixels = read_image(self._data.images[number])
        shape = input_shape(pixels.shape[:2], self._recipe.side, self._recipe.longest)
        resized = resize(pixels, *shape)
        return number, torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1)))
