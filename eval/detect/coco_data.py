"""COCO, and whatever else comes in its format."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dilo.eval.common.coco import (
    CocoAnnotations,
    CocoObject,
    read_coco_annotations,
)
from dilo.eval.detect.annotations import (
    Annotated,
    DetectionSet,
    digest_of,
    require_count,
)
from dilo.pipeline.errors import DiloError, first_few
from dilo.pipeline.images.names import escaped
from dilo.pipeline.masks.coco import CocoImage
from dilo.pipeline.masks.segmentations import parse_segmentation

#: Images of the official files that protocols name.
COUNTS = {"instances_train2017": 118287, "instances_val2017": 5000}


def coco_paths(root: Path, split: str) -> tuple[Path, Path]:
    """Find the folder of a split's images and its file of annotations, by COCO's own layout."""
    images = root / split
    annotations = root / "annotations" / f"instances_{split}.json"
    if not images.is_dir() or not annotations.is_file():
        entries = sorted(escaped(path.name) for path in root.iterdir()) if root.is_dir() else []
        missing = images if annotations.is_file() else annotations
        raise DiloError(
            f"--coco {root} must hold {split} and annotations/instances_{split}.json, got "
            f"{first_few(entries) or 'nothing'}, and no {missing}: unpack COCO's archives there"
        )
    return images, annotations


def read_coco(images: Path, annotations: Path, *, subset: bool = False) -> DetectionSet:
    """Read a file of annotations and find its images.

    Parameters
    ----------
    images : Path
        Their folder.
    annotations : Path
        A file ``instances_*.json``.
    subset : bool, default False
        Whether a file by an official name may have fewer images.

    Returns
    -------
    DetectionSet
        By ascending id of the images; categories by ascending id are the labels 0, 1 and so on.

    Raises
    ------
    DiloError
        If a file is missing or wrong: the sentence names it, with its entry.
    """
    content = read_coco_annotations(annotations)
    if not content.images or not content.categories:
        raise DiloError(
            f"{annotations} must have images and categories, got {len(content.images)} and "
            f"{len(content.categories)}"
        )
    require_count(
        COUNTS.get(annotations.stem), len(content.images), str(annotations), subset=subset
    )
    _require_images(images, content.images, annotations)
    category_ids = sorted(content.categories)
    labels = {category: label for label, category in enumerate(category_ids)}
    ordered = sorted(
        content.images.values(), key=lambda image: (isinstance(image.id, str), image.id)
    )
    annotated = tuple(
        _annotated(images, image, list(content.objects[image.id]), labels) for image in ordered
    )
    return DetectionSet(
        images=annotated,
        classes=tuple(content.categories[number] for number in category_ids),
        category_ids=tuple(category_ids),
        name=annotations.stem,
        source=annotations,
        digest=digest_of(images, [image.path for image in ordered], annotated),
        rule="coco",
        remarks=_remarks(annotations, content),
    )


def _require_images(folder: Path, images: Mapping[int | str, CocoImage], annotations: Path) -> None:
    """Refuse annotations without their images."""
    flat = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    missing = [
        image.path
        for image in images.values()
        if image.path not in flat and not ("/" in image.path and (folder / image.path).is_file())
    ]
    if missing:
        raise DiloError(
            f"{folder} must hold the images of {annotations}, but {len(missing)} of {len(images)} "
            f"are not there, the first being {escaped(missing[0])}: is it the folder of this file?"
        )


def _annotated(
    folder: Path, image: CocoImage, objects: list[CocoObject], labels: Mapping[int, int]
) -> Annotated:
    """Put the objects of an image into arrays."""
    boxes = np.array([each.box for each in objects], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    marked = all(each.segmentation is not None for each in objects)
    return Annotated(
        path=folder / image.path,
        image_id=image.id,
        height=image.height,
        width=image.width,
        boxes=boxes.astype(np.float32),
        labels=np.array([labels[each.category] for each in objects], np.int64),
        difficult=np.zeros(len(objects), bool),
        crowd=np.array([each.crowd for each in objects], bool),
        segmentation=(
            tuple(
                parse_segmentation(each.segmentation, each.where, (image.height, image.width))
                for each in objects
            )
            if marked
            else None
        ),
    )


def _remarks(annotations: Path, content: CocoAnnotations) -> tuple[str, ...]:
    """Say how many boxes go beyond their image."""
    cut = [
        one.where
        for image in content.images.values()
        for one in content.objects[image.id]
        if _is_cut(one, image)
    ]
    if not cut:
        return ()
    first = cut[0].removeprefix(f"{annotations}, ")
    return (
        f"{annotations}: {len(cut)} boxes go beyond their image by more than a pixel, and are cut "
        f"there, the first being {first}",
    )


def _is_cut(one: CocoObject, image: CocoImage) -> bool:
    """Tell whether a box goes beyond its image by more than a pixel."""
    x, y, width, height = one.box
    return x < -1 or y < -1 or x + width > image.width + 1 or y + height > image.height + 1
