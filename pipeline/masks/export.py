"""Export a store: a folder of gray PNGs, one for each image that has a mask."""

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.files import remove_leftovers, temporary_name, write_text
from dilo.pipeline.common.printing import printable
from dilo.pipeline.common.textfiles import read_bytes
from dilo.pipeline.compute.worker import single_threaded
from dilo.pipeline.errors import StoreError
from dilo.pipeline.images.decoding import MAX_PIXELS
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.masks.pngs import ambiguous_names, stem, write_png
from dilo.pipeline.store.maskstore import MaskStore
from dilo.pipeline.store.plan import Plan, shard_path
from dilo.pipeline.store.rows import FAILED
from dilo.pipeline.store.shardfile import read_summary, reading_shard
from dilo.pipeline.store.status import require_complete

#: The file that says what an exported folder holds.
EXPORT = "export.json"

#: Of the masks as they are stored, or stretched to their images.
Size = Literal["store", "image"]


@dataclass(frozen=True)
class ExportOutcome:
    """What the export of a shard came to."""

    #: PNGs written.
    written: int
    #: PNGs that were there.
    kept: int
    #: Path and reason of each image that has no mask.
    failed: dict[str, str]


def prepare_export(store: Path, out: Path, size: Size) -> NDArray[np.int64]:
    """Start a folder of PNGs, or check that the one there is of this store and size.

    Returns the positions of the images whose PNG keeps their extension, for `export_shard`.
    """
    masks = MaskStore(store)
    require_complete(store, masks.plan, str(store), " to be exported")
    ambiguous = ambiguous_names(masks.names)
    _claim(out, {"plan": masks.fingerprint, "size": size})
    return ambiguous


def _claim(out: Path, mark: dict[str, str]) -> None:
    """Mark a new folder with what it will hold, or compare the mark that is there."""
    path, text = out / EXPORT, json.dumps(mark, sort_keys=True) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        if any(not name.startswith(".") for name in os.listdir(out)):
            raise StoreError(f"--out {out} must be empty or an export, got files but no {EXPORT}")
        write_text(path, text)
    content = read_bytes(path, 2**20).decode(errors="replace")
    if content != text:
        raise StoreError(
            f"--out {out} must be an export of this store at this size, {text.strip()}, "
            f"got {EXPORT} with {printable(content.strip(), 200)}: give a new folder"
        )
    remove_leftovers(out)


def export_shard(
    store: Path, out: Path, shard: int, *, size: Size, ambiguous: NDArray[np.int64]
) -> ExportOutcome:
    """Write the PNGs of a shard that are not there yet. The unit of work.

    Each is written beside and renamed, so it is whole or not there, whatever kills the
    writer. The disk is not waited for, which would take longer than all the rest: after a
    power cut, export anew.
    """
    masks = _cached_store(store, Plan.load(store).fingerprint())
    with reading_shard(store, masks.plan, shard) as file:
        shapes, status = file["shape"][:], file["status"][:]
        _require_shapes(shard_path(store, shard), file, status)
    rows = masks.plan.rows(shard)
    ambiguous_rows = set(ambiguous[(ambiguous >= rows.start) & (ambiguous < rows.stop)].tolist())
    part = temporary_name(out / "mask.png")  # here, where one sweep finds it, and of a short name
    written = kept = 0
    try:
        with single_threaded():
            for position, shape, state in zip(rows, shapes, status, strict=True):
                if state == FAILED:
                    continue
                name = masks.names[position]
                target = out / f"{name if position in ambiguous_rows else stem(name)}.png"
                if target.exists():
                    kept += 1
                    continue
                mask = masks[position]
                write_png(
                    target, stretch_mask(mask, tuple(shape)) if size == "image" else mask, part
                )
                written += 1
    finally:
        part.unlink(missing_ok=True)
    return ExportOutcome(written, kept, read_summary(store, masks.plan, shard).failed)


def _require_shapes(path: Path, file: h5py.File, status: NDArray[np.uint8]) -> None:
    """Refuse a shard that says of an image with a mask what no image's size is."""
    shapes = file["shape"][:].astype(np.int64)
    invalid = (shapes < 1).any(axis=1) | (shapes.prod(axis=1) > MAX_PIXELS)
    for row in np.flatnonzero(invalid & (status != FAILED)).tolist():
        height, width = shapes[row].tolist()
        raise StoreError(
            f"{path}: {file['path'][row].decode(errors='replace')} must have a height and a width "
            f"of 1 to {MAX_PIXELS} pixels in all, got {height} x {width}: "
            f"dilo-prep verify {path.parent} says what else is wrong"
        )


@functools.lru_cache(maxsize=1)
def _cached_store(store: Path, fingerprint: str) -> MaskStore:
    """Read a store's list once a process; by its plan, for a worker outlives a store."""
    return MaskStore(store)
