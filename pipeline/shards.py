"""One shard: an HDF5 file of masks that any HDF5 tool opens, published whole or not at all."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from dilo.pipeline.atomic import published
from dilo.pipeline.errors import StoreError
from dilo.pipeline.plan import FORMAT_VERSION

#: Values of the dataset `status`.
MASKED, FAILED = 0, 1


@dataclass(frozen=True)
class MaskRows:
    """The rows of a shard of masks.

    Attributes
    ----------
    masks : ndarray of shape (N, S, S), uint8
        Saliency, 0 to 255; all zero where the image failed.
    shape : ndarray of shape (N, 2), int32
        Height and width of the decoded image, in pixels; zero where it failed.
    path : list of str
        The images, as images.txt names them.
    error : list of str
        Why an image failed; empty where it did not.
    """

    masks: NDArray[np.uint8]
    shape: NDArray[np.int32]
    path: list[str]
    error: list[str]

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
    """
    side = rows.masks.shape[1]
    # The default format bounds, so that HDF5 1.8 reads the file; times are not tracked, so
    # that equal rows are equal bytes.
    with published(path) as part, h5py.File(part, "w", locking=False) as file:
        file.attrs["format"] = FORMAT_VERSION
        file.attrs["plan"] = fingerprint
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
        file.create_dataset("shape", data=rows.shape)
        file.create_dataset("path", data=_fixed_utf8(rows.path))
        file.create_dataset("coverage", data=rows.coverage)
        file.create_dataset("status", data=rows.status)
        file.create_dataset("error", data=_fixed_utf8(rows.error))


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
            f"delete it and run the same dilo-prep command again"
        ) from error
    if file.attrs.get("plan") != fingerprint:
        file.close()
        raise StoreError(
            f"{path} must follow the plan beside it, got a shard of another plan: "
            f"delete it and run the same dilo-prep command again"
        )
    return file


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
    with open_shard(path, fingerprint) as file:
        failed = np.flatnonzero(file["status"][:] == FAILED)
        if not len(failed):
            return len(file["status"]), {}
        paths, errors = file["path"].asstr()[:], file["error"].asstr()[:]
        return len(paths), {str(paths[i]): str(errors[i]) for i in failed}


def faults(path: Path, expected: list[str], size: int, fingerprint: str) -> list[str]:
    """Re-read a shard and list what is wrong with it.

    Parameters
    ----------
    path : Path
        Its file.
    expected : list of str
        The images that it must hold, in order.
    size : int
        Side of a mask that the plan says.
    fingerprint : str
        Digest of the plan.

    Returns
    -------
    list of str
        One sentence a fault; empty for a sound shard.
    """
    try:
        with open_shard(path, fingerprint) as file:
            return [f"{path.name}: {fault}" for fault in _row_faults(file, expected, size)]
    except StoreError as error:
        return [str(error)]
    # A damaged file makes h5py raise whatever its first broken part is read as.
    except Exception as error:
        return [f"{path.name} cannot be read: {error}: delete it and run dilo-prep again"]


def _row_faults(file: h5py.File, expected: list[str], size: int) -> list[str]:
    """Compare the datasets with the plan and with each other; reading checks their checksums."""
    count = len(expected)
    layout = {
        "masks": ((count, size, size), "uint8"),
        "shape": ((count, 2), "int32"),
        "coverage": ((count,), "float32"),
        "status": ((count,), "uint8"),
        "path": ((count,), None),
        "error": ((count,), None),
    }
    found = []
    for name, (shape, dtype) in layout.items():
        if name not in file:
            found.append(f"dataset {name!r} is missing")
        elif file[name].shape != shape or (dtype and file[name].dtype != dtype):
            found.append(
                f"dataset {name!r} must be {dtype or 'text'} of shape {shape}, "
                f"got {file[name].dtype} of shape {file[name].shape}"
            )
    if found:
        return found
    if list(file["path"].asstr()[:]) != expected:
        found.append("its paths are not those of images.txt")
    masks, errors = file["masks"][:], file["error"].asstr()[:]
    again = MaskRows(masks, file["shape"][:], expected, [str(error) for error in errors])
    if not np.array_equal(again.coverage, file["coverage"][:]):
        found.append("its coverage is not the mean of its masks: the masks changed")
    if not np.array_equal(again.status, file["status"][:]):
        found.append("its status and its errors disagree")
    if masks[again.status == FAILED].any():
        found.append("a failed image has a mask that is not zero")
    return found
