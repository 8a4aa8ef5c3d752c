"""What the rows of a shard keep of their images, in any kind of store."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import h5py
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.store.plan import Plan

#: Values of the dataset `status`: there is what the store is of; the image failed.
OK, FAILED = 0, 1
#: Shape and type of each dataset: None for any length, and for text.
Layout = dict[str, tuple[tuple[int | None, ...], str | None]]


@dataclass(frozen=True, kw_only=True)
class ImageRows(ABC):
    """What every kind of store keeps of its images; a kind adds what it is of, and `status`."""

    #: The datasets without filters, in the order of the file.
    columns: ClassVar[tuple[str, ...]]

    #: The images, as images.txt names them.
    path: list[str]
    #: Why an image failed; empty where it did not.
    error: list[str]
    #: Height and width of the decoded image, in pixels; zero where it was not decoded.
    shape: NDArray[np.int32]
    #: Size of the image file that was read; 0 where it could not be.
    bytes: NDArray[np.int64]
    #: CRC-32 of that file, by which a later change is noticed.
    file_crc32: NDArray[np.uint32]

    @property
    @abstractmethod
    def status(self) -> NDArray[np.uint8]:
        """Return what became of each image."""

    def write(self, file: h5py.File) -> None:
        """Write the rows into the file of a shard."""
        self._write(file)
        for name in self.columns:
            values = getattr(self, name)
            data = fixed_utf8(values) if isinstance(values, list) else values
            file.create_dataset(name, data=data)

    @classmethod
    def layout(cls, count: int, plan: Plan) -> Layout:
        """Return the datasets that a shard has."""
        return cls._layout(count, plan) | {
            "shape": ((count, 2), "int32"),
            "bytes": ((count,), "int64"),
            "file_crc32": ((count,), "uint32"),
            "status": ((count,), "uint8"),
            "path": ((count,), None),
            "error": ((count,), None),
        }

    # What a kind says of itself.

    def _write(self, file: h5py.File) -> None:  # noqa: B027  # a kind need have nothing
        """Write what comes before the columns into the file."""

    @classmethod
    @abstractmethod
    def _layout(cls, count: int, plan: Plan) -> Layout:
        """Return the datasets that the kind adds."""


def empty_columns(path: list[str]) -> dict[str, Any]:
    """Make the columns that every kind keeps, still to be filled."""
    count = len(path)
    return {
        "path": path,
        "error": [""] * count,
        "shape": np.zeros((count, 2), np.int32),
        "bytes": np.zeros(count, np.int64),
        "file_crc32": np.zeros(count, np.uint32),
    }


def fixed_utf8(texts: list[str]) -> NDArray[Any]:
    """Encode with one length for all: unlike HDF5's heap, its bytes follow from the texts."""
    encoded = [text.encode() for text in texts]
    length = max([1, *(len(text) for text in encoded)])
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", length))
