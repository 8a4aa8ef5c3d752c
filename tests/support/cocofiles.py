"""Files in COCO's format of masks for images that are there, as MaskCut writes them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask


def packed(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Pack a mask into run lengths, in text."""
    runs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": runs["counts"].decode()}


def image_entries(images: Path) -> list[dict[str, Any]]:
    """List the JPEGs of a folder, their ids from 1; width and height swapped, as MaskCut does."""
    entries = []
    for number, path in enumerate(sorted(images.rglob("*.jpg")), start=1):
        with Image.open(path) as picture:
            height, width = picture.size
        name = path.relative_to(images).as_posix()
        entries.append({"id": number, "file_name": name, "width": width, "height": height})
    return entries


def shape_of(entry: Mapping[str, Any]) -> tuple[int, int]:
    """Return height and width of the image of such an entry."""
    return entry["width"], entry["height"]


def write_coco_masks(
    path: Path,
    entries: Sequence[Mapping[str, Any]],
    masks: Sequence[tuple[int, Any]],
    **more: Any,
) -> Path:
    """Write a file of images, and of annotations: the id of an image and a segmentation each."""
    annotations = [
        {"id": number, "image_id": image, "category_id": 1, "segmentation": segmentation}
        for number, (image, segmentation) in enumerate(masks, start=1)
    ]
    categories = [{"id": 1, "name": "fg"}]
    content = {"info": {}, "categories": categories, "images": list(entries)}
    path.write_text(json.dumps({**content, "annotations": annotations, **more}))
    return path
