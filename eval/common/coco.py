"""Annotations in COCO's format: one JSON file for all images."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import ContentError
from dilo.pipeline.masks.coco import CocoImage, coco_entries, orphan, parse_image

#: Bytes of the largest file that is read: that of COCO's 118,287 training images has 0.45 GB.
MAX_JSON = 2**32


@dataclass(frozen=True, slots=True)
class CocoObject:
    """An object of an image."""

    #: x, y, width and height in pixels.
    box: tuple[float, float, float, float]
    category: int
    #: Whether it is a group of objects, which counts as none.
    crowd: bool
    #: Polygons, or a run-length code, as the file has them; None without.
    segmentation: Any
    #: Where it stands, for messages.
    where: str


@dataclass(frozen=True, eq=False)
class CocoAnnotations:
    """A file of annotations."""

    #: By id, in the file's order.
    images: Mapping[int | str, CocoImage]
    #: Names by id.
    categories: Mapping[int, str]
    #: Those of each image by its id, in the file's order; of every image.
    objects: Mapping[int | str, Sequence[CocoObject]]


def read_coco_annotations(path: Path) -> CocoAnnotations:
    """Read and check a file of annotations; raise ContentError, with the entry that is wrong."""
    content = read_json(path, MAX_JSON)
    images: dict[int | str, CocoImage] = {}
    for where, entry in coco_entries(path, content, "images"):
        image = parse_image(entry, where)
        if image.id in images:
            raise ContentError(f"{where}: an image must stand once, got the id {image.id!r} twice")
        images[image.id] = image
    categories: dict[int, str] = {}
    for where, entry in coco_entries(path, content, "categories"):
        number, name = entry.get("id"), entry.get("name")
        if type(number) is not int or not isinstance(name, str) or number in categories:
            raise ContentError(
                f"{where}: a category must have a whole number as its id, each once, and a name, "
                f"got {number!r} and {name!r}"
            )
        categories[number] = name
    objects: dict[int | str, list[CocoObject]] = {image_id: [] for image_id in images}
    for where, entry in coco_entries(path, content, "annotations"):
        where = f"{where} (id {entry.get('id')!r})"
        image_id, category = entry.get("image_id"), entry.get("category_id")
        if not isinstance(image_id, int | str) or image_id not in images:
            raise orphan(where, image_id)
        if type(category) is not int or category not in categories:
            raise ContentError(
                f'{where}: its class must be in "categories", got category_id {category!r}'
            )
        images[image_id] = _of_the_masks_size(images[image_id], entry.get("segmentation"))
        objects[image_id].append(_object(entry, where, images[image_id]))
    return CocoAnnotations(images, categories, objects)


def _of_the_masks_size(image: CocoImage, segmentation: object) -> CocoImage:
    """Take the size that run lengths say, where the image has the height for the width.

    MaskCut's files have. Its masks and boxes are of the image as it is.
    """
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    if size == [image.width, image.height]:
        return dataclasses.replace(image, height=image.width, width=image.height)
    return image


def _object(entry: Mapping[str, Any], where: str, image: CocoImage) -> CocoObject:
    """Read an object, and refuse one that does not touch its image."""
    numbers = entry.get("bbox")
    if (
        not isinstance(numbers, list)
        or len(numbers) != 4
        or not all(type(n) in (int, float) and math.isfinite(n) for n in numbers)
        or min(numbers[2:]) < 0
    ):
        raise ContentError(
            f"{where}: bbox must be x, y, width and height in pixels, got {str(numbers)[:100]}"
        )
    x, y, width, height = map(float, numbers)
    # One pixel of grace: COCO's boxes are rounded, and some have no width or no height.
    if x > image.width + 1 or y > image.height + 1 or x + width < -1 or y + height < -1:
        raise ContentError(
            f"{where}: a box must lie in its image, {image.path} of {image.width} x "
            f"{image.height} px, got x {x:g}, y {y:g}, width {width:g}, height {height:g}"
        )
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise ContentError(f"{where}: iscrowd must be 0 or 1, got {crowd!r}")
    return CocoObject(
        box=(x, y, width, height),
        category=entry["category_id"],
        crowd=bool(crowd),
        segmentation=entry.get("segmentation"),
        where=where,
    )
