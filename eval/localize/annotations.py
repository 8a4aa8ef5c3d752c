"""Boxes that people drew: a CSV file, or XML as PASCAL VOC and ImageNet release it."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from dilo.pipeline.common.textfiles import read_bytes, read_text
from dilo.pipeline.errors import ContentError, DiloError
from dilo.pipeline.images.listing import EXTENSIONS, find_files
from dilo.pipeline.images.names import escaped

#: Bytes of the largest table of boxes that is read.
MAX_TABLE = 2**30


HEAD = ["path", "x0", "y0", "x1", "y1"]


_CORNERS = ("xmin", "ymin", "xmax", "ymax")


Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Annotation:
    """The boxes of an image."""

    #: x0, y0, x1, y1 in pixels; may be empty.
    boxes: Sequence[Box]
    #: Width and height of the image that they were drawn on, where the file says so; the image at
    #: hand may be a smaller copy of it.
    size: tuple[float, float] | None


def read_annotations(path: Path) -> Mapping[str, Annotation]:
    """Read the boxes of many images."""
    annotations = _xml_folder(path) if path.is_dir() else _csv_file(path)
    if not annotations:
        wanted = "XML files" if path.is_dir() else f"lines {','.join(HEAD)}"
        raise DiloError(f"--boxes {path} must hold {wanted}, got none: check the path")
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
            boxes_by_key.setdefault(_key(row[0]), []).append(_box(row[1:]))
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
            annotations[key] = _xml(ElementTree.fromstring(read_bytes(path)))
        except (ElementTree.ParseError, ValueError) as error:
            raise DiloError(
                f"--boxes {path} must be an annotation in the format of PASCAL VOC, got: {error}"
            ) from error
    return annotations


def _xml(root: ElementTree.Element) -> Annotation:
    """Read the boxes of an image, and the size of what they were drawn on."""
    boxes = [
        _box([box.findtext(corner, "") for corner in _CORNERS])
        for box in root.findall("object/bndbox")
    ]
    width, height = (_number(root.findtext(f"size/{side}", "0")) for side in ("width", "height"))
    return Annotation(boxes, (width, height) if width > 0 and height > 0 else None)


def _key(path: str) -> str:
    """Take the extension of an image off its path."""
    pure = PurePosixPath(path)
    return escaped(str(pure.with_suffix("") if pure.suffix.lower() in EXTENSIONS else pure))


def _box(words: Sequence[str]) -> Box:
    """Read four numbers that are a box."""
    x0, y0, x1, y1 = map(_number, words)
    if not (0 <= x0 <= x1 and 0 <= y0 <= y1):
        raise ValueError(f"a box must have 0 <= x0 <= x1 and 0 <= y0 <= y1, got {words}")
    return x0, y0, x1, y1


def _number(word: str) -> float:
    """Read a number that is finite."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"a coordinate must be a number, got {word!r}")
    return value
