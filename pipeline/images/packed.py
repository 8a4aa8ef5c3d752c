"""Images that `dilo-prep pack` wrote, as a source of them: read from shards by offset.

In a shard, the files of images lie end to end in one dataset without chunks or filters. So the
place of each in the shard's file is known, and a read needs no HDF5: shards are archives as tars
are. This module reads the plan and the shards on its own, for stores lie above images.
"""

import hashlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dilo.pipeline.common.plainhdf5 import (
    Declared,
    require_attributes,
    require_datasets,
    require_regular,
)
from dilo.pipeline.common.textfiles import read_bytes
from dilo.pipeline.errors import ContentError, StoreError, require_access
from dilo.pipeline.images.archiveindex import FAILED, RAW, Listing
from dilo.pipeline.images.archivekinds import MAX_PLAN_BYTES, PLAN, packed_plan
from dilo.pipeline.images.archives import ArchiveSource
from dilo.pipeline.images.listing import ImageCounter
from dilo.pipeline.images.names import Names, unescaped

#: Datasets of a shard.
DATASETS: dict[str, Declared] = {
    "content": ((None,), "uint8"),
    "offsets": ((None,), "int64"),
    "label": ((None,), None),
    "shape": ((None, 2), "int32"),
    "bytes": ((None,), "int64"),
    "file_crc32": ((None,), "uint32"),
    "status": ((None,), "uint8"),
    "path": ((None,), None),
    "error": ((None,), None),
}
_ATTRIBUTES = ("format", "plan", "sha256")
#: What reading a damaged file raises: it depends on what its first broken part is taken for.
_DAMAGE: Any = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)
_DAMAGE += (OverflowError, MemoryError, ContentError)


class PackedSource(ArchiveSource):
    """Images in a store that `dilo-prep pack` wrote."""

    def _list(self, file: str, counter: ImageCounter) -> Listing:
        """List the images of a shard by the places of their bytes."""
        path = self._archive(file)
        listing = Listing(counter=counter)
        try:
            plan = read_bytes(self._root / PLAN, MAX_PLAN_BYTES)
            fingerprint = hashlib.sha256(plan).hexdigest()
            require_regular(path)
            with h5py.File(path, "r", locking=False, rdcc_nbytes=0) as shard:
                require_attributes(shard, _ATTRIBUTES)
                if shard.attrs.get("plan") != fingerprint.encode():
                    raise ContentError("a shard of another plan")
                require_datasets(shard, DATASETS)
                _list_rows(shard, listing)
        except _DAMAGE as error:
            require_access(error, path)
            raise StoreError(
                f"{path} must be a whole shard of packed images, got: {error}: dilo-prep verify "
                f"{path.parent} --repair moves it aside, to be rebuilt"
            ) from error
        return listing


def _list_rows(shard: h5py.File, listing: Listing) -> None:
    """List the rows of a shard."""
    content = shard["content"]
    begin = content.id.get_offset() if len(content) else 0
    ends = shard["offsets"][:]
    columns = [[str(text) for text in shard[name].asstr()[:]] for name in ("path", "label")]
    status = shard["status"][:].tolist()
    lengths = np.diff(ends)
    if begin is None or not len(ends) or ends[0] or ends[-1] != len(content) or lengths.min() < 0:
        raise ContentError("files that do not lie end to end")
    if fault := Names(map(unescaped, columns[0])).fault():
        raise ContentError(fault)
    rows = zip(*columns, status, ends[:-1].tolist(), lengths.tolist(), strict=True)
    for path, label, failed, offset, length in rows:
        name = unescaped(path)
        listing.add(name, begin + offset, length, length, FAILED if failed else RAW)
        listing.add_label(name, label.encode())


def open_packed(
    path: Path, folder: Path, inner: str = "", store: Path | None = None
) -> PackedSource:
    """Open packed images, or those in a folder of their names; refuse a store with missing shards.

    `path` is what the user named, `folder` the store, and `inner` the folder in it, with a slash.
    """
    plan = packed_plan(folder)
    images, size = plan.get("images"), plan.get("shard_size")
    if type(images) is not int or type(size) is not int or min(images, size) < 1:
        raise StoreError(f"{folder / PLAN} must be a plan that dilo-prep wrote, got no numbers")
    shards = -(-images // size)
    existing = {entry.name for entry in folder.glob("shard-*.h5")}
    files = [f"shard-{shard:05d}.h5" for shard in range(min(shards, len(existing)))]
    if len(files) < shards or not existing.issuperset(files):
        raise StoreError(
            f"--images {folder} must be whole, got {len(existing)} of {shards} shards: run the "
            "same dilo-prep pack command to its end first"
        )
    return PackedSource(path, folder, files, inner, store)
