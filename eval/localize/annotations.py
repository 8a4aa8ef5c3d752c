"""Boxes that people drew: a CSV file, XML as of PASCAL VOC and ImageNet, or JSON as of COCO."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dilo.eval.common.coco import read_coco_annotations
from dilo.eval.common.voc import Box, parse_voc, read_box
from dilo.pipeline.common.textfiles import read_bytes, read_text
from dilo.pipeline.errors import ContentError, DiloError
from dilo.pipeline.images.listing import EXTENSIONS, find_files
from dilo.pipeline.images.names import escaped

#: Bytes of the largest table of boxes that is read.
MAX_TABLE = 2**30


HEAD = ["path", "x0", "y0", "x1", "y1"]


@dataclass(frozen=True)
class Annotation:
    """The boxes of an image."""

    #: x0, y0, x1, y1 in pixels; may be empty.
    boxes: Sequence[Box]
    #: Width and height of the image that they were drawn on, where the file says so; the image at
    #: hand may be a smaller copy of it.
    size: tuple[float, float] | None
    #: Of each box, whether its object is difficult or truncated; empty where no file says so.
    hard: Sequence[bool] = ()
    #: How the file counts the first column and row: VOC from 1.
    first: int = 0

    def size_for(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Return width and height that the boxes are of, for an image of this height and width.

        A size that fits the image only with height and width exchanged is refused: either the file
        is wrong, or the image is turned, and its boxes would lie somewhere else.
        """
        height, width = shape[:2]
        if self.size is None:
            return width, height
        columns, rows = self.size
        tolerance = max(height, width)  # a pixel, as a smaller copy may be rounded
        fits = abs(rows * width - columns * height) <= tolerance
        if not fits and abs(columns * width - rows * height) <= tolerance:
            raise DiloError(
                f"its boxes must be of an image of {width} x {height} px, or of its proportions, "
                f"got {columns:g} x {rows:g}, with height and width exchanged: correct the size in "
                "the file of boxes"
            )
        return self.size


def read_annotations(path: Path) -> Mapping[str, Annotation]:
    """Read the boxes of many images."""
    if path.suffix.lower() == ".json":
        annotations, content = _coco_file(path), "images"
    elif path.is_dir():
        annotations, content = _xml_folder(path), "XML files"
    else:
        annotations, content = _csv_file(path), f"lines {','.join(HEAD)}"
    if not annotations:
        raise DiloError(f"--boxes {path} must hold {content}, got none: check the path")
    return annotations


def _csv_file(path: Path) -> dict[str, Annotation]:
    """Read a CSV file, and name the line that is none."""
    boxes_by_key: dict[str, list[Box]] = {}
    try:
        text = read_text(path, MAX_TABLE)
    except ContentError as error:
        raise DiloError(f"--boxes {error}") from error
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        for row in lines:
            if not row or (lines.line_num == 1 and row == HEAD):
                continue
            if len(row) != len(HEAD):
                raise ValueError(f"must be {','.join(HEAD)}, got {','.join(row)[:200]}")
            boxes_by_key.setdefault(_key(row[0]), []).append(read_box(row[1:]))
    except (ValueError, csv.Error) as error:
        raise DiloError(f"--boxes {path}, line {lines.line_num}: {error}") from error
    return {key: Annotation(boxes, None) for key, boxes in boxes_by_key.items()}


def _xml_folder(folder: Path) -> dict[str, Annotation]:
    """Read the XML files of a folder, and name the one that is none."""
    annotations = {}
    for name in find_files(folder, (".xml",)):
        path = folder / name
        try:
            key = escaped(str(PurePosixPath(name).with_suffix("")))
            annotations[key] = _xml(read_bytes(path))
        except ValueError as error:
            raise DiloError(
                f"--boxes {path} must be an annotation in the format of PASCAL VOC, got: {error}"
            ) from error
    return annotations


def _xml(content: bytes) -> Annotation:
    """Read the boxes of an image, and the size of what they were drawn on."""
    read = parse_voc(content)
    boxed = [(each.box, each.difficult or each.truncated) for each in read.objects if each.box]
    boxes, hard = [box for box, _ in boxed], [one for _, one in boxed]
    return Annotation(boxes, read.size, hard, first=1)


def _coco_file(path: Path) -> dict[str, Annotation]:
    """Read a file in COCO's format, without crowds, its boxes in whole pixels."""
    try:
        content = read_coco_annotations(path)
    except ContentError as error:
        raise DiloError(f"--boxes {error}") from error
    annotations = {}
    for image in content.images.values():
        boxes = []
        for each in content.objects[image.id]:
            x, y, width, height = each.box
            x0, y0, x1, y1 = map(round, (x, y, x + width, y + height))
            # Its last column and row belong to a box.
            box = (max(x0, 0), max(y0, 0), max(x1 - 1, x0, 0), max(y1 - 1, y0, 0))
            boxes += [] if each.crowd else [box]
        annotations[_key(image.path)] = Annotation(boxes, (image.width, image.height))
    return annotations


def _key(path: str) -> str:
    """Take the extension of an image off its path."""
    pure = PurePosixPath(path)
    return escaped(str(pure.with_suffix("") if pure.suffix.lower() in EXTENSIONS else pure))
