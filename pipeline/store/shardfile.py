"""One shard: an HDF5 file that any HDF5 tool opens, published whole or not at all."""

import contextlib
import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from dilo.pipeline.common.files import atomic_write
from dilo.pipeline.common.plainhdf5 import require_attributes, require_datasets, require_regular
from dilo.pipeline.errors import ContentError, StoreError, require_access
from dilo.pipeline.store.layouts import layout_of
from dilo.pipeline.store.plan import FORMAT_VERSION, Plan, shard_path
from dilo.pipeline.store.rows import FAILED, OK, ImageRows, Layout

#: Attribute with the fingerprint of the plan. Of fixed length: HDF5 keeps other strings in a heap,
#: and where one byte of that is damaged, it may go in circles for ever.
PLAN = "plan"
#: Attribute with the digest of the file, whose own place counts as this many zeros.
DIGEST = "sha256"
_BLANK = b"0" * 64
#: What reading a damaged file raises: it depends on what its first broken part is taken for.
DAMAGE: Any = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)
DAMAGE += (isal_zlib.error, OverflowError, MemoryError)
#: What any shard may have, of whichever kind, size and number of rows.
_ANY_LAYOUT: Layout = {
    "masks": ((None, None, None), "uint8"),
    "coverage": ((None,), "float32"),
    "content": ((None,), "uint8"),
    "label": ((None,), None),
    "jpeg": ((None,), "uint8"),
    "offsets": ((None,), "int64"),
    "source": ((None,), "int32"),
    "box": ((None, 4), "int32"),
    "shape": ((None, 2), "int32"),
    "bytes": ((None,), "int64"),
    "file_crc32": ((None,), "uint32"),
    "status": ((None,), "uint8"),
    "path": ((None,), None),
    "error": ((None,), None),
}


def write_shard(path: Path, rows: ImageRows, fingerprint: str) -> None:
    """Write and publish a shard."""
    content = _shard_content(rows, fingerprint)
    with atomic_write(path) as part:
        part.write_bytes(content)


def _shard_content(rows: ImageRows, fingerprint: str) -> bytes:
    """Make the bytes of a shard, in memory: a disk then takes it in one go, or not at all."""
    # Stands for the digest until the rest is known; like nothing else in the file.
    placeholder = hashlib.sha256(f"digest {fingerprint}".encode()).hexdigest().encode()
    # The default format bounds, so that HDF5 1.8 reads the file; times are not tracked, so
    # that equal rows are equal bytes.
    # In memory, under a name that no other thread's has: HDF5 takes equal names for one file.
    name = secrets.token_hex(8)
    with h5py.File(name, "w", driver="core", backing_store=False) as file:
        file.attrs["format"] = FORMAT_VERSION
        file.attrs[PLAN] = np.bytes_(fingerprint)
        file.attrs[DIGEST] = np.bytes_(placeholder)
        rows.write(file)
        file.flush()
        content: bytes = file.id.get_file_image()
    digest = hashlib.sha256(content.replace(placeholder, _BLANK)).hexdigest()
    return content.replace(placeholder, digest.encode())


def matches_digest(content: bytes, digest: bytes) -> bool:
    """Check whether a shard's file is byte for byte what was written."""
    if len(digest) != len(_BLANK):
        return False
    return hashlib.sha256(content.replace(digest, _BLANK)).hexdigest().encode() == digest


def open_shard(path: Path, fingerprint: str, layout: Layout | None = None) -> h5py.File:
    """Open a published shard for reading, without locks, and check what it declares."""
    file = _open_file(path)
    try:
        with damage_as_store_error(path):
            require_attributes(file, ("format", PLAN, DIGEST))
            other_plan = file.attrs.get(PLAN) != fingerprint.encode()
            require_datasets(file, _ANY_LAYOUT if other_plan or layout is None else layout)
        if other_plan:
            raise StoreError(
                f"{path} must follow the plan beside it, got a shard of another plan: "
                f"dilo-prep verify {path.parent} --repair moves it aside, to be rebuilt"
            )
        return file
    except BaseException:
        file.close()
        raise


def _open_file(path: Path) -> h5py.File:
    """Open the file of a shard."""
    try:
        require_regular(path)
        # A chunk is read once, so a cache of chunks only costs memory.
        return h5py.File(path, "r", locking=False, rdcc_nbytes=0)
    except FileNotFoundError:
        raise StoreError(
            f"{path} is missing: run the same dilo-prep command again, it computes what is missing"
        ) from None
    except (OSError, ContentError) as error:
        require_access(error, path)
        raise StoreError(
            f"{path} must be a readable HDF5 file, got: {error}: "
            f"dilo-prep verify {path.parent} --repair moves it aside, to be rebuilt"
        ) from error


@contextlib.contextmanager
def reading_shard(store: Path, plan: Plan, shard: int) -> Iterator[h5py.File]:
    """Open a shard of a store for a block that reads from it; damage is a `StoreError`."""
    path = shard_path(store, shard)
    layout = layout_of(plan, shard)
    with damage_as_store_error(path), open_shard(path, plan.fingerprint(), layout) as file:
        yield file


@contextlib.contextmanager
def damage_as_store_error(path: Path) -> Iterator[None]:
    """Turn what reading a damaged shard raises into a `StoreError` that says what to do."""
    try:
        yield
    except DAMAGE as error:
        require_access(error, path)
        raise StoreError(
            f"{path} must be a whole shard, got: {error}: "
            f"dilo-prep verify {path.parent} --repair moves it aside, to be rebuilt"
        ) from error


@dataclass(frozen=True)
class ShardSummary:
    """What the images of a shard came to."""

    #: Path and reason of each image that failed.
    failed: dict[str, str]
    #: How many images have each value of `status`.
    states: Counter[int]
    #: How many backgrounds there are; 0 in a shard of another kind.
    backgrounds: int
    #: How many masks are all zero, of images that did not fail.
    empty_masks: int = 0

    @property
    def images(self) -> int:
        """Count the images."""
        return self.states.total()


def read_summary(store: Path, plan: Plan, shard: int) -> ShardSummary:
    """Read what the images of a shard came to, and little else of it."""
    with reading_shard(store, plan, shard) as file:
        status: NDArray[np.uint8] = file["status"][:]
        failed = {}
        if (status == FAILED).any():
            paths, errors = file["path"].asstr()[:], file["error"].asstr()[:]
            failed = {str(paths[i]): str(errors[i]) for i in np.flatnonzero(status == FAILED)}
        backgrounds = len(file["source"]) if "source" in file else 0
        empty = (status == OK) & (file["coverage"][:] == 0) if "coverage" in file else status[:0]
        return ShardSummary(failed, Counter(status.tolist()), backgrounds, int(empty.sum()))
