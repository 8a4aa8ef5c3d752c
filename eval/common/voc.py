"""Annotations in the format of PASCAL VOC: an XML file for each image."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

#: x0, y0, x1, y1 as a file has them.
Box = tuple[float, float, float, float]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_OBJECT = re.compile(rb"<object[\s>]")


@dataclass(frozen=True)
class VocObject:
    """An object of an image."""

    #: Its class.
    name: str
    #: xmin, ymin, xmax, ymax as the file has them, which VOC counts from 1; None without a box.
    box: Box | None
    #: Whether it is hard to see: neither found nor missed by VOC's rule.
    difficult: bool
    #: Whether it goes on outside the box.
    truncated: bool


@dataclass(frozen=True)
class VocAnnotation:
    """The objects of an image."""

    #: In the file's order.
    objects: Sequence[VocObject]
    #: Width and height of the image, where the file says so.
    size: tuple[float, float] | None


def parse_voc(content: bytes) -> VocAnnotation:
    """Read an annotation; raise ValueError, with the line of the object, where it is none."""
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    objects = []
    for number, element in enumerate(root.findall("object")):
        try:
            objects.append(_object(element))
        except ValueError as error:
            raise ValueError(f"line {object_line(content, number)}: {error}") from error
    width, height = (_number(root.findtext(f"size/{side}", "0")) for side in ("width", "height"))
    return VocAnnotation(objects, (width, height) if width > 0 and height > 0 else None)


def _object(element: ElementTree.Element) -> VocObject:
    """Read an object; its parts have boxes of their own, which are not read."""
    box = element.find("bndbox")
    return VocObject(
        name=element.findtext("name", "").strip(),
        box=None if box is None else read_box([box.findtext(name, "") for name in _CORNERS]),
        difficult=element.findtext("difficult", "").strip() == "1",
        truncated=element.findtext("truncated", "").strip() == "1",
    )


def object_line(content: bytes, number: int) -> int:
    """Find the line on which an object begins, counted from 0; for messages."""
    starts = [match.start() for match in _OBJECT.finditer(content)]
    return 1 + content[: starts[min(number, len(starts) - 1)] if starts else 0].count(b"\n")


def read_box(words: Sequence[str]) -> Box:
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
