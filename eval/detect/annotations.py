"""Images with the objects that people marked on them, whichever format they come in."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dilo.eval.common.inputs import digest_of_files
from dilo.pipeline.errors import DiloError
from dilo.pipeline.masks.segmentations import TRIANGLE, Polygons, Rle

#: What to do where masks are no use.
_WITHOUT_MASKS = "give --set model.masks=false"
#: By which rule detections are scored: VOC's of 2007 or of 2012, or COCO's.
Rule = Literal["11 points", "area", "coco"]


@dataclass(frozen=True, eq=False)
class Annotated:
    """An image and all of its objects, those that no training or metric uses too."""

    #: Of the image.
    path: Path
    #: What its data set calls it: a number in COCO, "000005" in VOC.
    image_id: int | str
    #: Of the image, by the file of annotations, in pixels.
    height: int
    #: The same.
    width: int
    #: x0, y0, x1, y1 in pixels, the upper left corner of the image being 0, 0; of shape (N, 4),
    #: float32. VOC: xmin - 1, ymin - 1, xmax, ymax. COCO: x, y, x + width, y + height.
    boxes: NDArray[np.float32]
    #: Position of the class among those of the set; of shape (N,), int64.
    labels: NDArray[np.int64]
    #: By VOC, of shape (N,), bool.
    difficult: NDArray[np.bool_]
    #: By COCO, of shape (N,), bool.
    crowd: NDArray[np.bool_]
    #: The mask of each object; None where the file has none.
    segmentation: tuple[Polygons | Rle, ...] | None = None


@dataclass(frozen=True, eq=False)
class DetectionSet:
    """Images to train on, or to be scored on."""

    #: In a fixed order: that of VOC's list, or by the ids of COCO.
    images: tuple[Annotated, ...]
    #: Names, by label.
    classes: tuple[str, ...]
    #: What a file in COCO's format calls each class, by label.
    category_ids: tuple[int, ...]
    #: For people and for records, such as "voc_2007_test".
    name: str
    #: The folder of VOC, or COCO's file of annotations.
    source: Path
    #: SHA-256 of the names and sizes of the images and of the annotations.
    digest: str
    #: How it is scored.
    rule: Rule
    #: What a user should know of it, in lines.
    remarks: tuple[str, ...] = ()

    def listing(self) -> dict[str, str]:
        """Say which images a result is of, for "inputs" of its record."""
        return {"folder": str(self.source.resolve()), "digest": self.digest}

    def trainable(self) -> "DetectionSet":
        """Leave out the images whose objects are all crowds, or that have none."""
        images = tuple(image for image in self.images if not image.crowd.all())
        return self if len(images) == len(self.images) else self._part(images, self.name)

    def chosen(self, image_ids: Collection[int | str], name: str) -> "DetectionSet":
        """Take the images of these ids, in the order that they have here."""
        wanted = frozenset(image_ids)
        return self._part(tuple(each for each in self.images if each.image_id in wanted), name)

    def _part(self, images: tuple[Annotated, ...], name: str) -> "DetectionSet":
        """Take some of the images."""
        digest = _sha256(self.digest, *(repr(image.image_id) for image in images))
        return replace(self, images=images, name=name, digest=digest)


def joined(sets: Sequence[DetectionSet]) -> DetectionSet:
    """Put sets of the same classes behind one another, such as VOC 2007 and 2012."""
    first, *others = sets
    if any(each.classes != first.classes or each.rule == "coco" for each in others):
        raise ValueError("sets must have the same classes and VOC's rule to be joined")
    return replace(
        first,
        images=tuple(image for each in sets for image in each.images),
        name="+".join(each.name for each in sets),
        digest=_sha256(*(each.digest for each in sets)) if others else first.digest,
        remarks=tuple(line for each in sets for line in each.remarks),
    )


def digest_of(folder: Path, names: Sequence[str], images: Sequence[Annotated]) -> str:
    """Digest the files of images, named relative to a folder, and what is marked on them."""
    marks = hashlib.sha256()
    for image in images:
        marks.update(f"{image.image_id!r} {image.height} {image.width}\n".encode())
        for values in (image.boxes, image.labels, image.difficult, image.crowd):
            marks.update(values.tobytes())
    return digest_of_files(folder, names, marks.hexdigest())


def outlines(mask: Polygons | Rle) -> Polygons:
    """Take the polygons of an object that enclose something; none of run lengths."""
    if not isinstance(mask, tuple):
        return ()
    return tuple(points for points in mask if len(points) >= TRIANGLE)


def require_masks(data: DetectionSet, *, learnt: bool) -> None:
    """Refuse objects that no mask can be learnt from, or scored against.

    Learnt are polygons; of an object whose outlines enclose nothing the training makes no use.
    Crowds teach nothing, and may be run lengths.
    """
    for image in data.images:
        if image.segmentation is None:
            raise DiloError(
                f"{image.path} must have a segmentation of each object in its annotations, got "
                f"boxes alone: take a protocol without masks, or {_WITHOUT_MASKS}"
            )
        for number, mask in enumerate(image.segmentation):
            where = f"{image.path}, object {number + 1}"
            if learnt and not isinstance(mask, tuple) and not image.crowd[number]:
                raise DiloError(
                    f"{where}: the segmentation of an object to learn from must be polygons, got "
                    f"run lengths: write polygons, mark it as a crowd, or {_WITHOUT_MASKS}"
                )
            if not learnt and isinstance(mask, tuple) and not outlines(mask):
                raise DiloError(
                    f"{where}: the segmentation of an object to be found must be run lengths or "
                    f"polygons of three points or more, got neither: write them, or "
                    f"{_WITHOUT_MASKS}"
                )


def size_mismatch(image: Annotated, shape: tuple[int, int]) -> DiloError:
    """Make the error for an image that has another height and width than its annotations say."""
    return DiloError(
        f"{image.path} must have the size in its annotations, {image.width} x {image.height} px, "
        f"got {shape[1]} x {shape[0]}: its boxes would be wrong; take the data set's own images"
    )


def require_count(known: int | None, count: int, what: str, *, subset: bool) -> None:
    """Refuse a part of an official set where the user does not say that it is one."""
    if known is not None and count != known and not subset:
        raise DiloError(
            f"{what} must list {known:,} images, as the official one does, got {count:,}: complete "
            "it, or give --subset, which makes a number that compares with no published one"
        )


def _sha256(*parts: str) -> str:
    """Digest words."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
