"""What a detector found: in arrays, and as a file in COCO's format for results."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.mask import toBbox

from dilo.eval.common.coco import MAX_JSON
from dilo.eval.detect.annotations import Annotated, DetectionSet
from dilo.pipeline.common.files import atomic_write
from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import ContentError
from dilo.pipeline.masks.segmentations import Rle


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found on an image."""

    #: As its data set calls the image.
    image_id: int | str
    #: x0, y0, x1, y1 in pixels of the image's file; of shape (D, 4), float32 of a detector, or
    #: float64 of a file.
    boxes: NDArray[np.floating[Any]]
    #: Of shape (D,), the same.
    scores: NDArray[np.floating[Any]]
    #: Position of the class among those of the set; of shape (D,), int64.
    labels: NDArray[np.int64]
    #: The mask of each, of the image's size; None of a detector without masks.
    masks: tuple[Rle, ...] | None = None


def coco_results(detections: Sequence[Detections], data: DetectionSet) -> list[dict[str, Any]]:
    """Write detections as COCO's API takes them: one mapping each.

    Parameters
    ----------
    detections : sequence of Detections
        One for each image, or for some.
    data : DetectionSet
        The set of these images.

    Returns
    -------
    list of dict
        With "image_id", "category_id", "bbox" (x, y, width, height), "score" and, of a detector
        with masks, "segmentation". Numbers of 32 bits are written such that reading restores them.
    """
    return [entry for image in detections for entry in _entries(image, data)]


def _entries(image: Detections, data: DetectionSet) -> Iterator[dict[str, Any]]:
    """Write the detections of an image."""
    boxes = image.boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    columns = zip(boxes.tolist(), image.scores.tolist(), image.labels.tolist(), strict=True)
    for number, (box, score, label) in enumerate(columns):
        entry = {
            "image_id": image.image_id,
            "category_id": data.category_ids[label],
            "bbox": box,
            "score": score,
        }
        if image.masks is not None:
            entry["segmentation"] = _text_rle(image.masks[number])
        yield entry


def _text_rle(mask: Rle) -> dict[str, Any]:
    """Write run lengths such that JSON holds them."""
    counts = mask["counts"]
    return {
        "size": [int(side) for side in mask["size"]],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }


def write_detections(path: Path, detections: Sequence[Detections], data: DetectionSet) -> None:
    """Write detections to a file, whole or not at all, one a line."""
    with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        for number, entry in enumerate(e for image in detections for e in _entries(image, data)):
            file.write(("," if number else "") + "\n" + json.dumps(entry))
        file.write("\n]\n")


def read_detections(path: Path, data: DetectionSet) -> list[Detections]:
    """Read detections from a file in COCO's format for results.

    Parameters
    ----------
    path : Path
        Written by `write_detections`, or by another program.
    data : DetectionSet
        The set that they are of.

    Returns
    -------
    list of Detections
        One for each image of the set, in its order; within an image in the file's order.

    Raises
    ------
    ContentError
        If the file holds something else, or detections on images or of classes that the set lacks.
    """
    content = read_json(path, MAX_JSON)
    if not isinstance(content, list):
        raise ContentError(f"{path} must be a list of detections in COCO's format, got none")
    images = {image.image_id: image for image in data.images}
    entries: dict[int | str, list[Mapping[str, Any]]] = {image_id: [] for image_id in images}
    labels = {category: label for label, category in enumerate(data.category_ids)}
    for number, entry in enumerate(content):
        if reason := _fault(entry, images, labels):
            raise ContentError(f"{path}, detection {number}: {reason}")
        entries[entry["image_id"]].append(entry)
    return [_of_entries(image_id, of_image, labels) for image_id, of_image in entries.items()]


def _fault(entry: object, images: Mapping[int | str, Annotated], labels: Mapping[int, int]) -> str:
    """Say what is wrong with an entry; nothing where nothing is."""
    if not isinstance(entry, dict):
        return f"must be an object of JSON, got {str(entry)[:100]}"
    image_id, category = entry.get("image_id"), entry.get("category_id")
    if not isinstance(image_id, int | str) or image_id not in images:
        return f"must be on an image of the set, got image_id {image_id!r}"
    if not isinstance(category, int) or category not in labels:
        return f"must be of a class of the set, got category_id {category!r}"
    mask, image = entry.get("segmentation"), images[image_id]
    if mask is not None and not _is_rle(mask, image):
        return (
            f"segmentation must be run lengths of the image's size, [{image.height}, "
            f"{image.width}], with counts as text, got {str(mask)[:100]}"
        )
    box = entry.get("bbox", [0, 0, 0, 0] if mask else None)
    numbers = [*box, entry.get("score")] if isinstance(box, list) else []
    if (
        len(numbers) != 5
        or not all(type(n) in (int, float) and math.isfinite(n) for n in numbers)
        or min(numbers[2:4]) < 0
    ):
        return (
            "must have bbox, x, y, width and height in pixels, and a score, got "
            f"{str(box)[:100]} and {entry.get('score')!r}"
        )
    return ""


def _is_rle(mask: object, image: Annotated) -> bool:
    """Check that a mask is written as COCO's results are, and is of the image's size."""
    return (
        isinstance(mask, dict)
        and mask.get("size") == [image.height, image.width]
        and isinstance(mask.get("counts"), str)
        and mask["counts"].isascii()
    )


def _of_entries(
    image_id: int | str, entries: Sequence[Mapping[str, Any]], labels: Mapping[int, int]
) -> Detections:
    """Put the entries of an image into arrays."""
    # Results of masks need no boxes: those around the masks.
    corners = [e["bbox"] if "bbox" in e else toBbox(e["segmentation"]) for e in entries]
    boxes = np.array(corners, np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    masked = bool(entries) and all(entry.get("segmentation") for entry in entries)
    return Detections(
        image_id=image_id,
        boxes=boxes,
        scores=np.array([entry["score"] for entry in entries], np.float64),
        labels=np.array([labels[entry["category_id"]] for entry in entries], np.int64),
        masks=tuple(entry["segmentation"] for entry in entries) if masked else None,
    )
