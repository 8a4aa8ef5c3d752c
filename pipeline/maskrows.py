"""The rows of a shard of masks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from dilo.pipeline.plan import Plan
from dilo.pipeline.rows import FAILED, MADE, ImageRows, Layout, blank_columns


@dataclass(frozen=True, kw_only=True)
class MaskRows(ImageRows):
    """The rows of a shard of masks.

    Attributes
    ----------
    masks : ndarray of shape (N, S, S), uint8
        Saliency, 0 to 255; all zero where the image failed.
    """

    columns = ("shape", "bytes", "file_crc32", "coverage", "status", "crc32", "path", "error")

    masks: NDArray[np.uint8]

    @classmethod
    def blank(cls, path: list[str], side: int) -> Self:
        """Make rows that are still to be filled.

        Parameters
        ----------
        path : list of str
            The images, as images.txt names them.
        side : int
            Side of a mask, in pixels.

        Returns
        -------
        MaskRows
            All zero.
        """
        return cls(masks=np.zeros((len(path), side, side), np.uint8), **blank_columns(path))

    @property
    def status(self) -> NDArray[np.uint8]:
        """Say which rows failed.

        Returns
        -------
        ndarray of shape (N,), uint8
            0 = mask, 1 = failed.
        """
        return np.array([FAILED if error else MADE for error in self.error], np.uint8)

    @property
    def coverage(self) -> NDArray[np.float32]:
        """Say how much of each image is foreground.

        Returns
        -------
        ndarray of shape (N,), float32
            Mean of the mask / 255.
        """
        mean: NDArray[np.float64] = self.masks.mean(axis=(1, 2), dtype=np.float64)
        return (mean / 255).astype(np.float32)

    def _parts(self, row: int) -> Iterator[Any]:
        """Give the mask."""
        yield self.masks[row]

    def _write(self, file: h5py.File) -> None:
        """Put the masks there, each in a chunk of its own."""
        side = self.masks.shape[1]
        masks = file.create_dataset(
            "masks",
            shape=self.masks.shape,
            dtype=np.uint8,
            chunks=(1, side, side),
            compression="gzip",
            compression_opts=1,
        )
        for row, mask in enumerate(self.masks):
            masks.id.write_direct_chunk((row, 0, 0), compressed(mask))

    @classmethod
    def _layout(cls, count: int, plan: Plan) -> Layout:
        """Add masks and coverage."""
        masks = (count, plan.size, plan.size)
        return {"masks": (masks, "uint8"), "coverage": ((count,), "float32")}

    @classmethod
    def _read(cls, file: h5py.File) -> dict[str, Any]:
        """Take the masks."""
        return {"masks": file["masks"][:]}

    def _faults(self, file: h5py.File, plan: Plan) -> Iterator[str]:
        """Compare what follows from masks and errors."""
        if not np.array_equal(self.coverage, file["coverage"][:]):
            yield "its coverage is not the mean of its masks"
        if not np.array_equal(self.status, file["status"][:]):
            yield "its status and its errors disagree"
        if self.masks[self.status == FAILED].any():
            yield "a failed image has a mask that is not zero"


def compressed(mask: NDArray[np.uint8]) -> bytes:
    """Compress a mask as a shard holds it: HDF5's own gzip, as small, in a fifth of the time.

    Parameters
    ----------
    mask : ndarray of shape (S, S), uint8
        Saliency.

    Returns
    -------
    bytes
        The chunk.
    """
    chunk: bytes = isal_zlib.compress(mask, 1)
    return chunk
