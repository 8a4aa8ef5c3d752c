"""The rows of a shard of backgrounds."""

import itertools
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.store.plan import Plan
from dilo.pipeline.store.rows import FAILED, OK, ImageRows, Layout, empty_columns

#: A window of an image: top, left, height and width, in its pixels.
Box = tuple[int, int, int, int]
#: Further values of `status`: no window fits the image; the image was not needed.
NO_WINDOW, NOT_NEEDED = 2, 3
#: Of `bytes`, where the image file was not read.
NOT_READ = -1


@dataclass(frozen=True, kw_only=True)
class BackgroundRows(ImageRows):
    """The rows of a shard of backgrounds: some of each image, or none."""

    columns = (
        *("jpeg", "offsets", "source", "box", "shape", "bytes", "file_crc32", "status", "path"),
        "error",
    )

    #: Of each image, the windows: top, left, height and width, in pixels.
    boxes: list[list[Box]]
    #: Of each image, what was in them, maybe reduced.
    jpegs: list[list[bytes]]
    #: The images that have none and did not fail, and why: `NO_WINDOW` or `NOT_NEEDED`.
    skipped: dict[int, int]

    @classmethod
    def empty(cls, path: list[str]) -> Self:
        """Make rows that are still to be filled."""
        columns = empty_columns(path)
        columns["bytes"][:] = NOT_READ
        return cls(boxes=[[] for _ in path], jpegs=[[] for _ in path], skipped={}, **columns)

    @property
    def status(self) -> NDArray[np.uint8]:
        """Return what became of each image."""
        return np.array([self._state(row) for row in range(len(self.path))], np.uint8)

    def _state(self, row: int) -> int:
        """Return what became of an image."""
        return FAILED if self.error[row] else self.skipped.get(row, OK)

    @property
    def jpeg(self) -> NDArray[np.uint8]:
        """Return all JPEGs end to end."""
        return np.frombuffer(b"".join(itertools.chain(*self.jpegs)), np.uint8)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Return where each JPEG begins, and the last ends."""
        lengths = [len(jpeg) for jpeg in itertools.chain(*self.jpegs)]
        return np.cumsum([0, *lengths], dtype=np.int64)

    @property
    def source(self) -> NDArray[np.int32]:
        """Return which image each background is of, by its row."""
        return np.repeat(np.arange(len(self.path), dtype=np.int32), [len(b) for b in self.boxes])

    @property
    def box(self) -> NDArray[np.int32]:
        """Return which window of its image each background is, (K, 4)."""
        return np.array(list(itertools.chain(*self.boxes)), np.int32).reshape(-1, 4)

    @classmethod
    def _layout(cls, count: int, plan: Plan) -> Layout:
        """Add the backgrounds, of any number."""
        return {
            "jpeg": ((None,), "uint8"),
            "offsets": ((None,), "int64"),
            "source": ((None,), "int32"),
            "box": ((None, 4), "int32"),
        }
