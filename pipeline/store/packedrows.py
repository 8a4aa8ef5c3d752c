"""The rows of a shard of packed images."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.images.packed import DATASETS
from dilo.pipeline.store.plan import Plan
from dilo.pipeline.store.rows import FAILED, OK, ImageRows, Layout, empty_columns


@dataclass(frozen=True, kw_only=True)
class PackedRows(ImageRows):
    """The rows of a shard of packed images: of each the bytes of a file."""

    columns = (
        *("content", "offsets", "label", "shape", "bytes", "file_crc32", "status", "path"),
        "error",
    )

    #: Of each image, the file that is packed; empty where it failed.
    files: list[bytes]
    #: The class of each image, where the source itself says it beside the names; else empty.
    label: list[str]

    @classmethod
    def empty(cls, path: list[str]) -> Self:
        """Make rows that are still to be filled."""
        return cls(files=[b""] * len(path), label=[""] * len(path), **empty_columns(path))

    @property
    def status(self) -> NDArray[np.uint8]:
        """Return which rows failed."""
        return np.array([FAILED if error else OK for error in self.error], np.uint8)

    @property
    def content(self) -> NDArray[np.uint8]:
        """Return all files end to end."""
        return np.frombuffer(b"".join(self.files), np.uint8)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Return where each file begins, and the last ends."""
        return np.cumsum([0, *map(len, self.files)], dtype=np.int64)

    @classmethod
    def _layout(cls, count: int, plan: Plan) -> Layout:
        """Add the files and where they lie."""
        own = ("content", "offsets", "label")
        return {name: DATASETS[name] for name in own} | {"offsets": ((count + 1,), "int64")}
