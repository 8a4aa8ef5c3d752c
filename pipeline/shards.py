"""One shard: an HDF5 file of masks that any HDF5 tool opens, published whole or not at all."""

import contextlib
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from dilo.pipeline.atomic import published
from dilo.pipeline.errors import StoreError
from dilo.pipeline.plan import FORMAT_VERSION

#: Values of the dataset `status`.
MASKED, FAILED = 0, 1
#: Attribute with the digest of the file, whose own place counts as this many zeros.
DIGEST = "sha256"
_BLANK = b"0" * 64
#: What reading a damaged file raises: it depends on what its first broken part is taken for.
DAMAGE: Any = (OSError, RuntimeError, KeyError, ValueError, isal_zlib.error)


@dataclass(frozen=True)
class MaskRows:
    """The rows of a shard of masks.

    Attributes
    ----------
    masks : ndarray of shape (N, S, S), uint8
        Saliency, 0 to 255; all zero where the image failed.
    shape : ndarray of shape (N, 2), int32
        Height and width of the decoded image, in pixels; zero where it failed.
    bytes : ndarray of shape (N,), int64
        Size of the image file that was read; 0 where it could not be.
    source : ndarray of shape (N,), uint32
        CRC-32 of that file, by which a later change is noticed.
    path : list of str
        The images, as images.txt names them.
    error : list of str
        Why an image failed; empty where it did not.
    """

    masks: NDArray[np.uint8]
    shape: NDArray[np.int32]
    bytes: NDArray[np.int64]
    source: NDArray[np.uint32]
    path: list[str]
    error: list[str]

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
        count = len(path)
        return cls(
            masks=np.zeros((count, side, side), np.uint8),
            shape=np.zeros((count, 2), np.int32),
            bytes=np.zeros(count, np.int64),
            source=np.zeros(count, np.uint32),
            path=path,
            error=[""] * count,
        )

    @property
    def status(self) -> NDArray[np.uint8]:
        """Say which rows failed.

        Returns
        -------
        ndarray of shape (N,), uint8
            0 = mask, 1 = failed.
        """
        return np.array([FAILED if error else MASKED for error in self.error], np.uint8)

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

    @property
    def crc32(self) -> NDArray[np.uint32]:
        """Give each row a checksum of its own, to tell which one a damaged file has lost.

        Returns
        -------
        ndarray of shape (N,), uint32
            CRC-32 of the mask, `shape`, `bytes` and `source` in little-endian order, then
            `path` and `error` in UTF-8.
        """
        rows = zip(
            self.masks,
            self.shape.astype("<i4"),
            self.bytes.astype("<i8"),
            self.source.astype("<u4"),
            self.path,
            self.error,
            strict=True,
        )
        return np.array([_row_crc32(*row) for row in rows], np.uint32)


def _row_crc32(mask: Any, shape: Any, size: Any, source: Any, path: str, error: str) -> int:
    """Go through the values of one row, in the order that docs/format.md says."""
    checksum = isal_zlib.crc32(mask)
    for part in (shape.tobytes(), size.tobytes(), source.tobytes(), path.encode(), error.encode()):
        checksum = isal_zlib.crc32(part, checksum)
    return checksum


def write_shard(path: Path, rows: MaskRows, fingerprint: str) -> None:
    """Write and publish a shard.

    Parameters
    ----------
    path : Path
        Its file.
    rows : MaskRows
        What it holds.
    fingerprint : str
        Digest of the plan that the rows follow.

    Raises
    ------
    OSError
        If the disk does not take it; nothing is published then.
    """
    content = shard_content(rows, fingerprint)
    with published(path) as part:
        part.write_bytes(content)


def shard_content(rows: MaskRows, fingerprint: str) -> bytes:
    """Make the bytes of a shard, in memory: a disk then takes it in one go, or not at all.

    Parameters
    ----------
    rows : MaskRows
        What it holds.
    fingerprint : str
        Digest of the plan that the rows follow.

    Returns
    -------
    bytes
        An HDF5 file, the same for the same arguments.
    """
    side = rows.masks.shape[1]
    # Stands for the digest until the rest is known; like nothing else in the file.
    place = hashlib.sha256(f"digest {fingerprint}".encode()).hexdigest().encode()
    # The default format bounds, so that HDF5 1.8 reads the file; times are not tracked, so
    # that equal rows are equal bytes.
    # In memory, under a name that no other thread's has: HDF5 takes equal names for one file.
    name = secrets.token_hex(8)
    with h5py.File(name, "w", driver="core", backing_store=False) as file:
        file.attrs["format"] = FORMAT_VERSION
        file.attrs["plan"] = fingerprint
        file.attrs[DIGEST] = np.bytes_(place)
        masks = file.create_dataset(
            "masks",
            shape=rows.masks.shape,
            dtype=np.uint8,
            chunks=(1, side, side),
            compression="gzip",
            compression_opts=1,
        )
        for row, mask in enumerate(rows.masks):
            masks.id.write_direct_chunk((row, 0, 0), compressed(mask))
        for name in ("shape", "bytes", "source", "coverage", "status", "crc32"):
            file.create_dataset(name, data=getattr(rows, name))
        for name in ("path", "error"):
            file.create_dataset(name, data=_fixed_utf8(getattr(rows, name)))
        file.flush()
        content: bytes = file.id.get_file_image()
    digest = hashlib.sha256(content.replace(place, _BLANK)).hexdigest()
    return content.replace(place, digest.encode())


def is_whole(content: bytes, digest: bytes) -> bool:
    """Tell whether a shard's file is byte for byte what was written.

    Parameters
    ----------
    content : bytes
        The file.
    digest : bytes
        Its attribute `sha256`.

    Returns
    -------
    bool
        False if any byte changed, in the data or between.
    """
    return hashlib.sha256(content.replace(digest, _BLANK)).hexdigest().encode() == digest


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


def _fixed_utf8(words: list[str]) -> NDArray[Any]:
    """Encode with one length for all: unlike HDF5's heap, its bytes follow from the words."""
    encoded = [word.encode() for word in words]
    length = max(1, *(len(word) for word in encoded))
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", length))


def open_shard(path: Path, fingerprint: str) -> h5py.File:
    """Open a published shard for reading, without locks.

    Parameters
    ----------
    path : Path
        Its file.
    fingerprint : str
        Digest of the plan that it must follow.

    Returns
    -------
    h5py.File
        Open for reading; the caller closes it.

    Raises
    ------
    StoreError
        If it is missing, damaged, or belongs to another plan.
    """
    try:
        # A chunk is read once, so a cache of chunks only costs memory.
        file = h5py.File(path, "r", locking=False, rdcc_nbytes=0)
    except FileNotFoundError:
        raise StoreError(
            f"{path} is missing: run the same dilo-prep command again, it computes what is missing"
        ) from None
    except OSError as error:
        raise StoreError(
            f"{path} must be a readable HDF5 file, got: {error}: "
            f"dilo-prep verify {path.parent} --repair moves it aside, to be made anew"
        ) from error
    if file.attrs.get("plan") != fingerprint:
        file.close()
        raise StoreError(
            f"{path} must follow the plan beside it, got a shard of another plan: "
            f"dilo-prep verify {path.parent} --repair moves it aside, to be made anew"
        )
    return file


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in a sentence that a shard is damaged, if reading it fails.

    Parameters
    ----------
    path : Path
        Its file.

    Yields
    ------
    None
        For a block that reads from it.

    Raises
    ------
    StoreError
        If the block fails as a damaged file makes it.
    """
    try:
        yield
    except DAMAGE as error:
        raise StoreError(
            f"{path} must be a whole shard, got: {error}: "
            f"dilo-prep verify {path.parent} --repair moves it aside, to be made anew"
        ) from error


def read_failures(path: Path, fingerprint: str) -> tuple[int, dict[str, str]]:
    """Read how many rows a shard holds and which of them failed.

    Parameters
    ----------
    path : Path
        Its file.
    fingerprint : str
        Digest of the plan that it must follow.

    Returns
    -------
    int
        Number of rows.
    dict of str to str
        Path and reason of each image that failed.
    """
    with reading(path), open_shard(path, fingerprint) as file:
        failed = np.flatnonzero(file["status"][:] == FAILED)
        if not len(failed):
            return len(file["status"]), {}
        paths, errors = file["path"].asstr()[:], file["error"].asstr()[:]
        return len(paths), {str(paths[i]): str(errors[i]) for i in failed}
