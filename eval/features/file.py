"""A file of features: plain HDF5, published whole, read some rows at a time."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from dilo.eval.features.features import Features
from dilo.eval.features.provenance import FeatureSource
from dilo.pipeline.common.files import atomic_write
from dilo.pipeline.common.plainhdf5 import Declared, require_plain, require_regular
from dilo.pipeline.common.textfiles import parse_json
from dilo.pipeline.errors import DiloError, require_access
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.store.rows import fixed_utf8
from dilo.pipeline.store.shardfile import DAMAGE
from dilo.train.monitor.nearest import Matrix

#: Version of the file's layout, docs/eval-features.md.
FORMAT_VERSION = 1


#: Bytes of a chunk of rows: what HDF5 reads at once, and what stands in memory while a file is
#: written.
CHUNK_BYTES = 2**20


#: What a file of features may hold: its datasets, by their lengths and types, and attributes.
DATASETS: dict[str, Declared] = {
    "features": ((None, None), "float32"),
    "labels": ((None,), "int64"),
    "paths": ((None,), None),
    "classes": ((None,), None),
    "unreadable": ((None, 2), None),
}


ATTRIBUTES = (
    "format",
    "dilo",
    "folder",
    "images",
    "selection",
    *(field.name for field in fields(FeatureSource)),
)


#: A step that the checkpoint does not tell.
NO_STEP = -1


class StoredRows:
    """The rows of a file of features, read when a slice asks for them.

    The file is opened for each slice, so that the object travels to other processes, and
    survives a fork, as it is.

    Parameters
    ----------
    path : Path
        The file.
    shape : tuple of (int, int)
        Rows M and columns D.
    """

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self.path, self.shape = path, shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Read the rows of a slice.

        Parameters
        ----------
        rows : slice
            With a step of 1.

        Returns
        -------
        Tensor of shape (B, D), float32
            On the CPU.

        Raises
        ------
        DiloError
            If a feature is not finite, whose neighbours would be arbitrary, or the file is
            damaged.
        """
        chosen = range(len(self))[rows]
        if chosen.step != 1:
            raise ValueError(f"rows must follow each other, got a step of {chosen.step}")
        values = np.empty((len(chosen), self.shape[1]), np.float32)
        if len(chosen):
            with _opened(self.path) as file:
                file["features"].read_direct(values, np.s_[chosen.start : chosen.stop])
        if not np.isfinite(values).all():
            raise DiloError(
                f"{self.path} must hold finite features, got NaN or infinity in rows "
                f"{chosen.start} to {chosen.stop - 1}: make it again with dilo-eval features"
            )
        return torch.from_numpy(values)


class JoinedRows:
    """Rows of several matrices, one after the other.

    Parameters
    ----------
    parts : sequence of Matrix
        Those without rows have no width either.
    """

    def __init__(self, parts: Sequence[Matrix]) -> None:
        self._parts = parts
        self.shape = (sum(map(len, parts)), max(part.shape[1] for part in parts))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Read the rows of a slice.

        Parameters
        ----------
        rows : slice
            With a step of 1.

        Returns
        -------
        Tensor of shape (B, D), float32
            On the CPU.
        """
        first, last, _ = rows.indices(len(self))
        blocks, begin = [torch.empty(0, self.shape[1])], 0
        for part in self._parts:
            inside = slice(max(0, first - begin), min(len(part), last - begin))
            if inside.start < inside.stop:
                blocks.append(part[inside])
            begin += len(part)
        return torch.cat(blocks)


def write_features(path: Path, features: Features) -> None:
    """Write features and publish the file, a chunk of rows in memory at a time.

    Parameters
    ----------
    path : Path
        The file; one of that name is replaced, once the new one is whole.
    features : Features
        What it will hold.

    Raises
    ------
    OSError
        If the disk does not take it; nothing is published then.
    """
    # The default format bounds, so that HDF5 1.8 reads the file.
    with atomic_write(path) as part, h5py.File(part, "w") as file:
        count, width = features.vectors.shape
        step = max(1, CHUNK_BYTES // (4 * max(1, width)))
        rows = file.create_dataset(
            "features", (count, width), "<f4", chunks=(min(step, count), width) if count else None
        )
        for first in range(0, count, step):
            rows[first : first + step] = features.vectors[first : first + step].numpy()
        file["labels"] = features.labels.numpy().astype("<i8")
        file["paths"] = fixed_utf8([escaped(name) for name in features.paths])
        file["classes"] = fixed_utf8([escaped(name) for name in features.classes])
        file["unreadable"] = _unreadable(features.unreadable)
        file.attrs["format"] = FORMAT_VERSION
        for name, value in _attributes(features).items():
            if isinstance(value, str):
                encoded = escaped(value).encode()
                kind = h5py.string_dtype("utf-8", len(encoded))
                file.attrs.create(name, np.bytes_(encoded), dtype=kind)
            else:
                file.attrs[name] = value


def open_features(path: Path) -> Features:
    """Open a file of features.

    Parameters
    ----------
    path : Path
        What `write_features` wrote.

    Returns
    -------
    Features
        Its rows are read from the file when they are asked for; all else is in memory.

    Raises
    ------
    DiloError
        If it is no such file, damaged, or of another version.
    """
    with _opened(path) as file:
        _require_format(file, path)
        require_plain(file, DATASETS, ATTRIBUTES)
        names = b"".join(name + b"\n" for name in file["paths"][:].tolist())
        rows = StoredRows(path, file["features"].shape)
        labels = torch.from_numpy(file["labels"][:])
        if len(rows) != len(labels) or len(rows) != names.count(b"\n"):
            raise ValueError(f"{len(rows)} rows with {len(labels)} labels")
        classes = tuple(_word(name) for name in file["classes"][:].tolist())
        _require_labels(labels, classes)
        return Features(
            Path(_word(file.attrs["folder"])),
            rows,
            labels,
            classes,
            Names.of_text(names),
            tuple((path.decode(), why.decode()) for path, why in file["unreadable"][:].tolist()),
            _word(file.attrs["images"]),
            _source(file.attrs),
            _options(file.attrs),
        )


def _require_format(file: h5py.File, path: Path) -> None:
    """Refuse a file that is none of features, or of another version."""
    file_format = None
    if "format" in file.attrs:
        value = file.attrs.get_id("format")
        plain = isinstance(value.get_type(), h5py.h5t.TypeIntegerID) and value.shape == ()
        file_format = file.attrs["format"] if plain else None
    if file_format != FORMAT_VERSION or "features" not in file:
        what = "another HDF5 file" if file_format is None else f"format {file_format}"
        raise DiloError(
            f"{path} must be a file of features of format {FORMAT_VERSION}, got {what}: "
            "make it with dilo-eval features"
        )


def _require_labels(labels: Tensor, classes: Sequence[str]) -> None:
    """Refuse labels that are no classes of the file, and classes that cannot be told apart."""
    if len(set(classes)) != len(classes):
        raise ValueError(f"a class twice among {len(classes)}")
    least, most = (0, len(classes) - 1) if classes else (-1, -1)
    if len(labels) and not least <= int(labels.min()) <= int(labels.max()) <= most:
        raise ValueError(
            f"labels from {int(labels.min())} to {int(labels.max())} with {len(classes)} classes"
        )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a file without locks, and turn what damage leads to into a sentence."""
    try:
        require_regular(path)
        with h5py.File(path, "r", locking=False, rdcc_nbytes=0) as file:
            yield file
    except DAMAGE as error:
        require_access(error, path)
        raise DiloError(
            f"{path} must be a whole file of features, got: {error}: "
            "make it again with dilo-eval features"
        ) from error


def _unreadable(pairs: Sequence[tuple[str, str]]) -> Any:
    """Lay paths and reasons out in two columns."""
    words = [word for path, why in pairs for word in (path, _plain(why))]
    return fixed_utf8(words).reshape(-1, 2)


def _plain(reason: str) -> str:
    """Drop what HDF5's text cannot hold of words that libraries wrote."""
    return reason.replace("\0", "").encode(errors="replace").decode()


def _attributes(features: Features) -> dict[str, str | int]:
    """Say what the rows are of."""
    source = asdict(features.source)
    if source["step"] is None:
        source["step"] = NO_STEP
    return {
        "dilo": version("dilo"),
        "folder": str(features.root.absolute()),
        "images": features.digest,
        **({"selection": json.dumps(dict(features.options))} if features.options else {}),
        **source,
    }


def _options(attributes: h5py.AttributeManager) -> Mapping[str, Any]:
    """Read the options that narrowed the images; none where they are all of their folder."""
    if "selection" not in attributes:
        return {}
    options = parse_json(_word(attributes["selection"]), "selection")
    if not isinstance(options, dict):
        raise TypeError(f"a selection that is no object: {options!r}")
    return options


def _source(attributes: h5py.AttributeManager) -> FeatureSource:
    """Read what made the rows from the attributes."""
    values: dict[str, Any] = {
        field.name: attributes[field.name]
        if field.name in ("step", "size")
        else _word(attributes[field.name])
        for field in fields(FeatureSource)
    }
    step = int(values["step"])
    return FeatureSource(
        **values | {"step": None if step == NO_STEP else step, "size": int(values["size"])}
    )


def _word(value: bytes) -> str:
    """Read text that `escaped` wrote."""
    return Names.of_text(value + b"\n")[0]
