"""Where in a COCO file of any size the masks of each image stand, and the mask of one image.

The file is read once, an entry at a time. Workers load an index of about 50 bytes an image and 12
an annotation, and read the entries of their own images.
"""

import hashlib
import os
import posixpath
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.arrayfiles import UNREADABLE, read_arrays, write_arrays
from dilo.pipeline.common.files import size_and_time
from dilo.pipeline.common.jsonlists import ListEntry, iterate_lists
from dilo.pipeline.common.textfiles import parse_json, without_waiting
from dilo.pipeline.errors import ContentError, DiloError, ImageError, first_few, require_access
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.masks.coco import (
    image_key,
    image_shape,
    no_coco,
    orphan,
    place_of,
    require_object,
)
from dilo.pipeline.masks.segmentations import parse_segmentation, segmentation_mask

#: Name of the index beside a store.
INDEX = "coco-index.npz"
#: Raised when an index that this version writes cannot be read by the one before.
FORMAT = 1
_ARRAYS: dict[str, Any] = {
    **{"image_offset": np.int64, "image_length": np.int32, "first": np.int64},
    **{"offset": np.int64, "length": np.int32},
}


@dataclass(frozen=True, eq=False)
class CocoIndex:
    """Where the entries of a COCO file stand, of N images and M annotations."""

    #: The file.
    file: Path
    #: Its bytes, when it was written, in nanoseconds, and its SHA-256.
    size: int
    time: int
    digest: str
    #: Of each image, its path below the folder of images.
    names: Names
    #: Where its entry begins, of shape (N,), and its bytes.
    image_offset: NDArray[np.int64]
    image_length: NDArray[np.int32]
    #: Its annotations are those from ``first[i]`` to ``first[i + 1] - 1``; of shape (N + 1,).
    first: NDArray[np.int64]
    #: Where the entry of each annotation begins, of shape (M,), and its bytes.
    offset: NDArray[np.int64]
    length: NDArray[np.int32]

    @classmethod
    def find(cls, file: Path, store: Path) -> Self:
        """Load the index that a store keeps of a file, or make it."""
        size, time = size_and_time(file, "must hold annotations in COCO's format:")
        index = cls._load(store / INDEX, file, size, time)
        return cls._read(file, size, time) if index is None else index

    @classmethod
    def _read(cls, file: Path, size: int, time: int) -> Self:
        """Read a file through, an entry at a time."""
        scan = _Scan(file)
        try:
            with open(file, "rb", opener=without_waiting) as raw:
                digesting = _Digesting(raw)
                for entry in iterate_lists(digesting, file):
                    scan.add(entry)
        except OSError as error:
            require_access(error, file)
            raise DiloError(f"{file} cannot be read: {error.strerror}") from error
        names, arrays = scan.result()
        return cls(file, size, time, digesting.digest.hexdigest(), names, **arrays)

    @classmethod
    def _load(cls, path: Path, file: Path, size: int, time: int) -> Self | None:
        """Read an index; None where there is none, or of another file."""
        try:
            content = read_arrays(path)
            if content["of"].tolist() != [FORMAT, size, time]:
                return None
            texts = {name: content[name].tobytes() for name in ("digest", "names")}
            arrays = {name: content[name].astype(kind) for name, kind in _ARRAYS.items()}
            names = Names.of_text(texts["names"])
            index = cls(file, size, time, texts["digest"].decode("ascii"), names, **arrays)
            index._check()
        except UNREADABLE:
            return None
        return index

    def _check(self) -> None:
        """Refuse, with a `ValueError`, what no index says."""
        images, annotations = len(self.names), len(self.offset)
        lengths = {"image_offset": images, "image_length": images, "first": images + 1}
        lengths |= {"offset": annotations, "length": annotations}
        if any(getattr(self, name).shape != (count,) for name, count in lengths.items()):
            raise ValueError("columns of other lengths than the list of names")
        if self.first[0] != 0 or self.first[-1] != annotations or (np.diff(self.first) < 0).any():
            raise ValueError("annotations of no image")
        if fault := self.names.fault():
            raise ValueError(fault)
        for name in ("image_offset", "image_length", "offset", "length"):
            if getattr(self, name).min(initial=0) < 0:
                raise ValueError(f"{name} below 0")

    def keep(self, store: Path) -> None:
        """Keep it beside a store, for workers and for the next command."""
        path = store / INDEX
        if self._load(path, self.file, self.size, self.time) is not None:
            return
        texts = {"digest": self.digest.encode(), "names": self.names.text().encode()}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        source = np.array([FORMAT, self.size, self.time], np.int64)
        write_arrays(path, {"of": source, **arrays}, texts)

    def annotation_counts(self) -> NDArray[np.int64]:
        """Count the annotations of each image."""
        return np.diff(self.first)

    def mask(self, name: str, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Unite the masks of an image, as saliency of 0 and 255.

        `shape` is that of the image, which an image without an annotation has its empty mask of. A
        name that is not in the file, and an annotation that is no mask, raise `ImageError`.
        """
        if name not in self.names:
            raise ImageError(f"no mask: {escaped(self.file.name)} lists no image of this name")
        row = self.names.index(name)
        annotations = slice(int(self.first[row]), int(self.first[row + 1]))
        offsets = [self.image_offset.item(row), *self.offset[annotations].tolist()]
        lengths = [self.image_length.item(row), *self.length[annotations].tolist()]
        if len(offsets) == 1:
            return np.zeros(shape, np.uint8)
        try:
            image, *entries = self._read_entries(list(zip(offsets, lengths, strict=True)))
        except OSError as error:
            require_access(error, self.file)
            raise DiloError(
                f"--coco {self.file} must hold the masks, got nothing there: is the disk mounted? "
                "Finished shards are kept; run the same command to resume"
            ) from error
        try:
            covered = _union(image, entries)
        except ContentError as error:
            raise ImageError(str(error)) from error
        mask: NDArray[np.uint8] = np.ascontiguousarray(covered).astype(np.uint8) * np.uint8(255)
        return mask

    def _read_entries(self, spans: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """Read entries again; a file that is another by now is no image's fault."""
        descriptor = without_waiting(str(self.file), os.O_RDONLY)
        try:
            status = os.fstat(descriptor)
            if (status.st_size, status.st_mtime_ns) != (self.size, self.time):
                raise DiloError(
                    f"--coco {self.file} must stay as it is while masks are read from it, got "
                    "another file: give the one that the store was planned with, or a fresh --out"
                )
            return [self._parse(os.pread(descriptor, n, offset), offset) for offset, n in spans]
        finally:
            os.close(descriptor)

    def _parse(self, content: bytes, offset: int) -> dict[str, Any]:
        """Read an entry; of its integers, most are of no use here and may be any."""
        where = f"{self.file}, byte {offset}"
        return require_object(parse_json(content, where, any_integer=True), where)


def _union(image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> NDArray[np.bool_]:
    """Unite the masks of an image, crowds among them."""
    masks = [_annotated_mask(image, entry) for entry in annotations]
    sizes = sorted({f"{mask.shape[1]} x {mask.shape[0]}" for mask in masks})
    if len(sizes) > 1:
        raise ContentError(f"all masks of an image must have one size, got {first_few(sizes)}")
    united: NDArray[np.bool_] = np.logical_or.reduce(masks)
    return united


def _annotated_mask(image: Mapping[str, Any], annotation: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Paint the mask of an annotation."""
    where = f"its annotation (id {annotation.get('id')!r})"
    segmentation = parse_segmentation(annotation.get("segmentation"), where, None)
    # Run lengths say their size themselves. In MaskCut's files that of the image is no use: it
    # has the height for the width.
    has_outlines = isinstance(segmentation, tuple)
    shape = image_shape(image, "its entry in images") if has_outlines else (0, 0)
    try:
        return segmentation_mask(segmentation, shape)
    except ContentError as error:
        raise ContentError(f"{where}: {error}") from error


class _Digesting:
    """A file whose bytes are digested as they are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, count: int) -> bytes:
        """Read some bytes."""
        content = self._file.read(count)
        self.digest.update(content)
        return content


@dataclass
class _Scan:
    """What is known of a file that is being read."""

    file: Path
    #: Position of an image, in the order that its id comes up in, whichever list is first.
    rows: dict[int | str, int] = field(default_factory=dict)
    #: By position; "" before its entry has come.
    names: list[str] = field(default_factory=list)
    #: Position, offset and length: of images, and of annotations.
    images: "array[int]" = field(default_factory=lambda: array("q"))
    annotations: "array[int]" = field(default_factory=lambda: array("q"))
    #: Whether any annotation has a mask.
    has_masks: bool = False

    def add(self, entry: ListEntry) -> None:
        """Note an entry of one of the two lists that matter."""
        if entry.name == "images":
            where = place_of(self.file, entry.name, entry.number)
            key, path = image_key(require_object(entry.value, where), where)
            row = self._row(key)
            if self.names[row]:
                raise ContentError(f"{where}: an image must stand once, got the id {key!r} twice")
            self.names[row] = posixpath.normpath(path)
            self.images.extend((row, entry.offset, entry.length))
        elif entry.name == "annotations":
            where = place_of(self.file, entry.name, entry.number)
            annotation = require_object(entry.value, where)
            image_id = annotation.get("image_id")
            if not isinstance(image_id, int | str):
                raise orphan(where, image_id)
            self.annotations.extend((self._row(image_id), entry.offset, entry.length))
            self.has_masks |= bool(annotation.get("segmentation"))

    def _row(self, key: int | str) -> int:
        """Return the position of an image by its id."""
        row = self.rows.setdefault(key, len(self.names))
        if row == len(self.names):
            self.names.append("")
        return row

    def result(self) -> tuple[Names, dict[str, Any]]:
        """Put the entries in the order of the images, or refuse the file."""
        if not self.images or not self.annotations:
            raise no_coco(self.file, "annotations" if self.images else "images")
        if not self.has_masks:
            raise ContentError(
                f"{self.file} must have masks, as polygons or run lengths, got annotations without "
                "segmentation"
            )
        count = len(self.names)
        images = np.frombuffer(self.images, np.int64).reshape(-1, 3)
        rows, offset, length = np.frombuffer(self.annotations, np.int64).reshape(-1, 3).T
        if len(images) < count:
            number = int(np.flatnonzero(~np.isin(rows, images[:, 0]))[0])
            key = next(key for key, row in self.rows.items() if row == rows[number])
            raise orphan(place_of(self.file, "annotations", number), key)
        names = Names(self.names)
        if (repeated := names.first_repeated()) is not None:
            raise ContentError(
                f"{self.file} must list each image once, got the file_name "
                f"{escaped(self.names[repeated])} twice"
            )
        images = images[np.argsort(images[:, 0])]
        order = np.argsort(rows, kind="stable")
        first = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
        columns = (images[:, 1], images[:, 2], first, offset[order], length[order])
        arrays = {
            name: column.astype(kind)
            for (name, kind), column in zip(_ARRAYS.items(), columns, strict=True)
        }
        return names, arrays
