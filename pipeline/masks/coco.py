"""Files of annotations in COCO's format: what is checked of their entries."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dilo.pipeline.errors import ContentError
from dilo.pipeline.images.decoding import MAX_PIXELS


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image of the file."""

    id: int | str
    #: Relative to the folder of images.
    path: str
    height: int
    width: int


def coco_entries(path: Path, content: object, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of a list of a file that was read, and say where each stands."""
    entries = content.get(name) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise no_coco(path, name)
    for number, entry in enumerate(entries):
        where = place_of(path, name, number)
        yield where, require_object(entry, where)


def no_coco(path: Path, name: str) -> ContentError:
    """Make the error for a file that lacks a list."""
    return ContentError(
        f'{path} must be annotations in COCO\'s format, with a list "{name}", got none: is it a '
        "file instances_*.json?"
    )


def orphan(where: str, image_id: object) -> ContentError:
    """Make the error for an annotation of no image."""
    return ContentError(
        f'{where}: an annotation must be of an image in "images", got image_id {image_id!r}'
    )


def place_of(path: Path, name: str, number: int) -> str:
    """Say where an entry stands."""
    return f"{path}, {name}[{number}]"


def require_object(entry: object, where: str) -> dict[str, Any]:
    """Refuse an entry that has no fields."""
    if not isinstance(entry, dict):
        raise ContentError(f"{where}: must be an object of JSON, got {str(entry)[:100]}")
    return entry


def parse_image(entry: Mapping[str, Any], where: str) -> CocoImage:
    """Read an image."""
    return CocoImage(*image_key(entry, where), *image_shape(entry, where))


def image_key(entry: Mapping[str, Any], where: str) -> tuple[int | str, str]:
    """Read by which id annotations name an image, and its path below the folder of images."""
    number, path = entry.get("id"), entry.get("file_name")
    if not isinstance(number, int | str) or isinstance(number, bool):
        raise ContentError(f"{where}: an image must have an id, got {number!r}")
    if not isinstance(path, str) or not _is_below(path):
        raise ContentError(
            f"{where}: file_name must be a path below the folder of images, got {path!r}"
        )
    return number, path


def image_shape(entry: Mapping[str, Any], where: str) -> tuple[int, int]:
    """Read height and width of an image."""
    height, width = entry.get("height"), entry.get("width")
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise ContentError(
            f"{where}: height and width must be whole numbers above 0, got {height!r} and {width!r}"
        )
    if height * width > MAX_PIXELS:
        raise ContentError(
            f"{where}: an image must have at most {MAX_PIXELS} pixels, got {width} x {height}"
        )
    return height, width


def _is_below(path: str) -> bool:
    """Check that a path leads nowhere but below its folder, and may be a file's."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # half of a character, which JSON may have
        return False
    return bool(path) and "\0" not in path and not {"/", ".."} & set(PurePosixPath(path).parts)
