"""The rows of a shard of backgrounds."""

import itertools
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.store.plan import Plan
from dilo.pipeline.store.rows import FAILED, MADE, ImageRows, Layout, blank_columns

#: A window of an image: top, left, height and width, in its pixels.
Box = tuple[int, int, int, int]
#: Further values of `status`: no window fits the image; the image was not needed.
NO_WINDOW, NOT_DRAWN = 2, 3
#: Of `bytes`, where the image file was not read.
NOT_READ = -1


@dataclass(frozen=True, kw_only=True)
class BackgroundRows(ImageRows):
    """The rows of a shard of backgrounds: some of each image, or none.

    Attributes
    ----------
    boxes : list of list of (int, int, int, int)
        Of each image, the windows: top, left, height and width, in pixels.
    jpegs : list of list of bytes
        Of each image, what was in them, maybe reduced.
    undone : dict of int to int
        The images that have none and did not fail, and why: `NO_WINDOW` or `NOT_DRAWN`.
    """

    columns = (
        *("jpeg", "offsets", "source", "box", "shape", "bytes", "file_crc32", "status", "path"),
        "error",
    )

    boxes: list[list[Box]]
    jpegs: list[list[bytes]]
    undone: dict[int, int]

    @classmethod
    def blank(cls, path: list[str]) -> Self:
        """Make rows that are still to be filled.

        Parameters
        ----------
        path : list of str
            The images, as images.txt names them.

        Returns
        -------
        BackgroundRows
            Of images that were not read, and have no backgrounds.
        """
        kept = blank_columns(path)
        kept["bytes"][:] = NOT_READ
        return cls(boxes=[[] for _ in path], jpegs=[[] for _ in path], undone={}, **kept)

    @property
    def status(self) -> NDArray[np.uint8]:
        """Say what became of each image.

        Returns
        -------
        ndarray of shape (N,), uint8
            0 = it gave backgrounds, 1 = failed, 2 = no window fits, 3 = not drawn.
        """
        return np.array([self._state(row) for row in range(len(self.path))], np.uint8)

    def _state(self, row: int) -> int:
        """Say what became of an image."""
        return FAILED if self.error[row] else self.undone.get(row, MADE)

    @property
    def jpeg(self) -> NDArray[np.uint8]:
        """Lay all JPEGs end to end.

        Returns
        -------
        ndarray of shape (L,), uint8
            Their bytes, image by image.
        """
        return np.frombuffer(b"".join(itertools.chain(*self.jpegs)), np.uint8)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Say where each JPEG begins, and the last ends.

        Returns
        -------
        ndarray of shape (M + 1,), int64
            Positions in `jpeg`.
        """
        lengths = [len(jpeg) for jpeg in itertools.chain(*self.jpegs)]
        return np.cumsum([0, *lengths], dtype=np.int64)

    @property
    def source(self) -> NDArray[np.int32]:
        """Say which image each background is of.

        Returns
        -------
        ndarray of shape (M,), int32
            Rows in this shard; they never fall.
        """
        return np.repeat(np.arange(len(self.path), dtype=np.int32), [len(b) for b in self.boxes])

    @property
    def box(self) -> NDArray[np.int32]:
        """Say which window of its image each background is.

        Returns
        -------
        ndarray of shape (M, 4), int32
            Top, left, height and width, in pixels of the image.
        """
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
