"""The index of archives: where in them each image lies. Plain arrays in a file, never pickled."""

import hashlib
import itertools
import json
import posixpath
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.arrayfiles import UNREADABLE, read_arrays, write_arrays
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.listing import (
    EXTENSIONS,
    UNREAD_EXTENSIONS,
    ImageCounter,
    extension_of,
)
from dilo.pipeline.images.names import Names, escaped

#: Raised when an index that this version writes cannot be read by the one before.
FORMAT = 1
#: Name of the index beside a store.
INDEX = "images-index.npz"
#: How the bytes of an image are kept: as they are, or behind the header of a zip; or why they are
#: not read.
RAW, STORED, DEFLATED, SPARSE, LINK, ENCRYPTED, COMPRESSED, FAILED = range(8)
REASONS = {
    SPARSE: "kept as a sparse file, with its holes left out: extract the archive",
    LINK: "a link to what its archive does not hold",
    ENCRYPTED: "encrypted: extract the archive",
    COMPRESSED: "compressed otherwise than by deflate: extract the archive, or make it with zip -0",
    FAILED: "it could not be packed: dilo-prep status of the packed images says why",
}
#: Characters of the longest class that a .cls file may name.
MAX_LABEL = 200
#: What files of classes end with, beside an image of the same name.
LABEL_EXTENSION = ".cls"
#: Links that are followed from one to the next.
_MAX_LINKS = 8
_COLUMNS = ("offset", "stored", "size", "kind", "crc")


@dataclass
class Listing:
    """The images of one archive, as they are listed."""

    #: Their paths in it.
    names: list[str] = field(default_factory=list)
    #: Numbers of each, in the order of `_COLUMNS`.
    numbers: "array[int]" = field(default_factory=lambda: array("q"))
    #: Classes by the path of their file without its extensions.
    labels: dict[str, str] = field(default_factory=dict)
    #: From the path of a link to that which it leads to.
    links: dict[str, str] = field(default_factory=dict)
    #: Pictures that are not read, by extension.
    unread: Counter[str] = field(default_factory=Counter)
    #: Counts them with those of other archives.
    counter: ImageCounter = field(default_factory=ImageCounter)

    def wants(self, name: str) -> bool:
        """Check whether a member is an image or the class of one, and count what is not read."""
        extension = extension_of(name)
        if extension in UNREAD_EXTENSIONS:
            self.unread[extension] += 1
        return extension in EXTENSIONS or extension == LABEL_EXTENSION

    def add(self, name: str, offset: int, stored: int, size: int, kind: int, crc: int = 0) -> None:
        """Add an image: where its bytes begin, how many they are, and how many it has."""
        self.names.append(name)
        self.numbers.extend((offset, stored, size, kind, crc))
        self.counter.add()

    def add_label(self, name: str, content: bytes) -> None:
        """Add the class that a file names, if it names one."""
        label = content.decode("utf-8", "replace").strip()
        if label and len(label) <= MAX_LABEL and label.isprintable():
            self.labels[_sample(name)] = label

    def resolve_links(self) -> None:
        """Give links the bytes of what they lead to, as in an extracted folder."""
        rows = {name: row for row, name in enumerate(self.names)} if self.links else {}
        for name in self.links:
            target = name
            for _ in range(_MAX_LINKS):
                target = self.links.get(target, target)
            if target in rows:
                first = rows[target] * len(_COLUMNS)
                self.add(name, *self.numbers[first : first + len(_COLUMNS)])
            else:
                self.add(name, 0, 0, 0, LINK)

    def place(self, folder: str, stem: str) -> None:
        """Put the images of an archive that is one of several where they are extracted to.

        That is the `folder` of the archive; or, if some lie in no folder of their own, one that is
        named as the archive is, by its `stem`.
        """
        is_flat = any("/" not in name for name in self.names)
        prefix = posixpath.join(folder, stem if is_flat else "", "")
        if prefix:
            self.names = [prefix + name for name in self.names]
            self.labels = {prefix + name: label for name, label in self.labels.items()}

    def extend(self, other: "Listing") -> None:
        """Add the images of another archive."""
        self.names += other.names
        self.numbers.extend(other.numbers)
        self.labels |= other.labels
        self.unread += other.unread


def member_path(name: str, archive: str) -> str:
    """Clean the path of a member of an archive; empty for what is hidden."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise DiloError(
            f"{archive} must hold paths below the folder that it is extracted to, got "
            f"{escaped(name)}: make the archive again, from inside the folder of the images"
        )
    return "" if any(part.startswith(".") for part in parts) else "/".join(parts)


def _sample(name: str) -> str:
    """Take the extensions off a path, as WebDataset names a sample."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


@dataclass(frozen=True, eq=False)
class Index:
    """Where images lie in archives."""

    #: Their paths, as of the extracted folder, sorted by code point.
    names: Names
    #: Number of the archive of each.
    archive: NDArray[np.int32]
    #: Where in the archive its bytes begin, or the header of a zip before them.
    offset: NDArray[np.int64]
    #: Bytes in the archive.
    stored: NDArray[np.int64]
    #: Bytes of the image file.
    size: NDArray[np.int64]
    #: How they are kept.
    kind: NDArray[np.uint8]
    #: CRC-32 of the image file, from a zip.
    crc: NDArray[np.uint32]
    #: Position of its class in `labels`; -1 without one.
    label: NDArray[np.int32]
    #: Classes that files beside the images name.
    labels: Names
    #: The archives, relative to their folder.
    files: Names
    #: Bytes of each archive, and when it was written, in nanoseconds.
    file_size: NDArray[np.int64]
    file_time: NDArray[np.int64]
    #: Pictures that are not read, by extension.
    unread: Mapping[str, int]

    def row(self, name: str) -> int:
        """Find an image; -1 if there is none."""
        try:
            return self.names.index(name)
        except ValueError:
            return -1

    def digest(self) -> str:
        """Digest the archives: another one, or one that was written since, gives another."""
        return archives_digest(
            [*self.files], [*zip(self.file_size.tolist(), self.file_time.tolist(), strict=True)]
        )

    def save(self, path: Path) -> None:
        """Publish it as a file of arrays."""
        texts = {name: getattr(self, name).text().encode() for name in _TEXTS}
        texts["unread"] = json.dumps(dict(self.unread)).encode()
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        write_arrays(path, {"format": np.array(FORMAT), **arrays}, texts)

    @classmethod
    def load(cls, path: Path, digest: str) -> "Index | None":
        """Read the index of archives by their digest; None where there is none, or of others."""
        try:
            index = cls._of(read_arrays(path))
        except UNREADABLE:
            return None
        return index if index is not None and index.digest() == digest else None

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> Self | None:
        """Make it of what a file holds, which somebody else may have written."""
        if int(content["format"]) != FORMAT:
            return None
        columns: dict[str, Any] = {name: Names.of_text(content[name].tobytes()) for name in _TEXTS}
        columns |= {name: np.asarray(content[name], dtype) for name, dtype in _ARRAYS.items()}
        unread = json.loads(content["unread"].tobytes())
        index = cls(**columns, unread={str(k): int(v) for k, v in unread.items()})
        index._check()
        return index

    def _check(self) -> None:
        """Refuse, with a `ValueError`, what no index says."""
        images, archives = len(self.names), len(self.files)
        lengths = {name: images for name in _ARRAYS}
        lengths |= {"file_size": archives, "file_time": archives}
        if any(getattr(self, name).shape != (length,) for name, length in lengths.items()):
            raise ValueError("columns of other lengths than the list of names")
        if self.names.fault() or self.labels.fault():
            raise ValueError(self.names.fault() or self.labels.fault())
        bounds = {
            "archive": (0, archives - 1),
            "kind": (RAW, max(REASONS)),
            "label": (-1, len(self.labels) - 1),
            **dict.fromkeys(("offset", "stored", "size"), (0, 2**63 - 1)),
        }
        for name, (least, most) in bounds.items():
            column = getattr(self, name)
            if images and not least <= int(column.min()) <= int(column.max()) <= most:
                raise ValueError(f"{name} beyond {least} and {most}")


_TEXTS = ("names", "labels", "files")
_ARRAYS: dict[str, Any] = {
    **{"archive": np.int32, "offset": np.int64, "stored": np.int64, "size": np.int64},
    **{"kind": np.uint8, "crc": np.uint32, "label": np.int32},
    **{"file_size": np.int64, "file_time": np.int64},
}


def archives_digest(files: Sequence[str], stats: Sequence[tuple[int, int]]) -> str:
    """Digest which archives there are: their names, sizes and times."""
    pairs = zip(files, stats, strict=True)
    text = json.dumps([[escaped(file or "."), *stat] for file, stat in pairs])
    return hashlib.sha256(text.encode()).hexdigest()


def make_index(
    files: Sequence[str],
    listings: Sequence[Listing],
    stats: Sequence[tuple[int, int]],
    where: str,
) -> Index:
    """Put the listings of archives together, in the order of an extracted folder.

    `where` is what the archives are, for a message.
    """
    names = [name for listing in listings for name in listing.names]
    counts = [len(listing.names) for listing in listings]
    archive = np.repeat(np.arange(len(files), dtype=np.int32), counts)
    numbers = np.concatenate([np.frombuffer(part.numbers, np.int64) for part in listings])
    order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
    _require_distinct(names, order, archive, files, where)
    labels = {key: label for listing in listings for key, label in listing.labels.items()}
    classes = sorted(set(labels.values()))
    number_of = {label: number for number, label in enumerate(classes)} | {"": -1}
    sample_labels = [number_of[labels.get(_sample(name), "")] for name in names] if labels else []
    label = np.array(sample_labels or [-1] * len(names), np.int32)
    columns = numbers.reshape(-1, len(_COLUMNS))[order].T
    arrays = {
        name: column.astype(_ARRAYS[name]) for name, column in zip(_COLUMNS, columns, strict=True)
    }
    return Index(
        names=Names(names[row] for row in order.tolist()),
        archive=archive[order],
        label=label[order],
        labels=Names(classes),
        files=Names(file or "." for file in files),
        file_size=np.array([size for size, _ in stats], np.int64),
        file_time=np.array([time for _, time in stats], np.int64),
        unread=sum((listing.unread for listing in listings), Counter()),
        **arrays,
    )


def _require_distinct(
    names: Sequence[str],
    order: NDArray[np.int64],
    archive: NDArray[np.int32],
    files: Sequence[str],
    where: str,
) -> None:
    """Refuse two images of one name."""
    rows = order.tolist()
    for first, second in itertools.pairwise(rows):
        if names[first] != names[second]:
            continue
        name, archives = escaped(names[first]), [files[archive[row]] for row in (first, second)]
        if archives[0] == archives[1]:
            raise DiloError(
                f"{where} must hold each image once, got {name} twice in one archive: extract it, "
                "where the later one replaces the other, or make it again"
            )
        raise DiloError(
            f"archives of {where} must hold images of different names, got {name} in "
            f"{archives[0]} and in {archives[1]}: give one of them, or rename"
        )
