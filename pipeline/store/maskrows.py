"""The rows of a shard of masks."""

from dataclasses import dataclass
from typing import Self

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from dilo.pipeline.store.plan import Plan
from dilo.pipeline.store.rows import FAILED, OK, ImageRows, Layout, empty_columns


@dataclass(frozen=True, kw_only=True)
class MaskRows(ImageRows):
    """The rows of a shard of masks."""

    columns = ("shape", "bytes", "file_crc32", "coverage", "status", "path", "error")

    #: Saliency, 0 to 255; all zero where the image failed.
    masks: NDArray[np.uint8]

    @classmethod
    def empty(cls, path: list[str], side: int) -> Self:
        """Make rows that are still to be filled."""
        return cls(masks=np.zeros((len(path), side, side), np.uint8), **empty_columns(path))

    @property
    def status(self) -> NDArray[np.uint8]:
        """Return which rows failed."""
        return np.array([FAILED if error else OK for error in self.error], np.uint8)

    @property
    def coverage(self) -> NDArray[np.float32]:
        """Compute how much of each image is foreground, from 0 to 1."""
        mean: NDArray[np.float64] = self.masks.mean(axis=(1, 2), dtype=np.float64)
        return (mean / 255).astype(np.float32)

    def _write(self, file: h5py.File) -> None:
        """Write the masks, each in a chunk of its own."""
        masks = create_masks(file, *self.masks.shape[:2])
        for row, mask in enumerate(self.masks):
            masks[row] = mask

    @classmethod
    def _layout(cls, count: int, plan: Plan) -> Layout:
        """Add masks and coverage."""
        masks = (count, plan.size, plan.size)
        return {"masks": (masks, "uint8"), "coverage": ((count,), "float32")}


def create_masks(file: h5py.File, count: int, side: int) -> h5py.Dataset:
    """Create the data set of some masks, which HDF5 compresses as they are written.

    Not ISA-L, whose output for one and the same mask was seen to differ now and then: equal stores
    are to be equal byte for byte.
    """
    return file.create_dataset(
        "masks",
        shape=(count, side, side),
        dtype=np.uint8,
        chunks=(1, side, side),
        compression="gzip",
        compression_opts=1,
    )


def compressed_size(mask: NDArray[np.uint8]) -> int:
    """Estimate the bytes of a mask in a shard, by ISA-L, which is faster than HDF5."""
    return len(isal_zlib.compress(mask, 1))


def is_direct(masks: h5py.Dataset) -> bool:
    """Check whether each chunk is a mask through gzip and no more, as `write_shard` has it."""
    filters: int = masks.id.get_create_plist().get_nfilters()
    direct: bool = masks.chunks == (1, *masks.shape[1:]) and masks.compression == "gzip"
    return direct and filters == 1


def decompress_mask(
    filter_mask: int, chunk: bytes | memoryview, shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Read a mask of its chunk, and no more than a mask: a few bytes may inflate without end.

    `filter_mask` is HDF5's: other than 0 where the chunk went through no filter.
    """
    size = shape[0] * shape[1]
    if filter_mask:
        content, complete = bytes(chunk), True
    else:
        # HDF5's own gzip takes twice as long, and other threads wait for it.
        stream = isal_zlib.decompressobj()
        content = stream.decompress(chunk, size + 1)
        complete = stream.eof
    if not complete or len(content) != size:
        raise ValueError(f"a mask must be {size} bytes, got another number")
    return np.frombuffer(content, np.uint8).reshape(shape)
