"""Check that a store is what was written, and its images those that were read."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from dilo.pipeline.errors import ImageError, StoreError
from dilo.pipeline.images import read_file
from dilo.pipeline.jobs import run
from dilo.pipeline.layouts import rows_of
from dilo.pipeline.names import escaped, unescaped
from dilo.pipeline.plan import PLAN, Plan, names_once, shard_path
from dilo.pipeline.rows import Layout
from dilo.pipeline.shards import DIGEST, is_whole, open_shard, reading

#: Where damaged shards go, inside the store.
ASIDE = "damaged"
#: Threads that ask a slow disk about images; they wait, most of the time.
READERS = 16
#: How many damaged rows of a shard are named.
NAMED_ROWS = 3


@dataclass(frozen=True)
class Check:
    """What was found in a shard.

    Attributes
    ----------
    shard : int
        Its number.
    images : int
        Rows that it should hold.
    faults : list of str
        One sentence a fault; empty for a sound shard.
    there : bool
        Whether there is a file.
    foreign : bool
        Whether it follows another plan than the one beside it.
    """

    shard: int
    images: int
    faults: list[str]
    there: bool
    foreign: bool


@dataclass(frozen=True)
class Verifier:
    """Checks the shards of a store; calling it with a number is a task for any worker.

    Attributes
    ----------
    store : Path
        The store.
    images : Path, optional
        Folder of the images; if given, each is read and compared with the one that was read.
    """

    store: Path
    images: Path | None = None

    def __call__(self, shard: int) -> Check:
        """Re-read one shard.

        Parameters
        ----------
        shard : int
            Its number.

        Returns
        -------
        Check
            What is wrong with it.
        """
        plan = Plan.load(self.store)
        names = names_once(self.store, plan.digest)
        expected = [escaped(names[i]) for i in plan.rows(shard)]
        path = shard_path(self.store, shard)
        found = faults(path, expected, plan)
        if self.images and not found:
            changed = changed_images(self.images, self.store, shard, thorough=True)
            found = [f"{path.name}: {name}: the image changed since" for name in changed]
        foreign = any("of another plan" in fault for fault in found)
        return Check(shard, len(expected), found, path.exists(), foreign)


def faults(path: Path, expected: list[str], plan: Plan) -> list[str]:
    """Re-read a shard and list what is wrong with it.

    Parameters
    ----------
    path : Path
        Its file.
    expected : list of str
        The images that it must hold, in order.
    plan : Plan
        The store's.

    Returns
    -------
    list of str
        One sentence a fault; empty for a sound shard.
    """
    try:
        with open_shard(path, plan.fingerprint()) as file:
            found = _row_faults(file, expected, plan)
            digest = file.attrs.get(DIGEST, b"")
        if not found and not is_whole(path.read_bytes(), digest):
            found = ["its bytes are not those that were written, between the rows"]
        return [f"{path.name}: {fault}" for fault in found]
    except StoreError as error:
        return [str(error)]
    # A damaged file makes h5py raise whatever its first broken part is read as.
    except Exception as error:
        return [f"{path.name}: cannot be read: {error}"]


def _row_faults(file: h5py.File, expected: list[str], plan: Plan) -> list[str]:
    """Compare the datasets with the plan, with each other and with the rows' checksums."""
    kind = rows_of(plan)
    if found := _layout_faults(file, kind.layout(len(expected), plan)):
        return found
    rows = kind.read(file)
    if rows.path != expected:
        found.append("its paths are not those of images.txt")
    damaged = np.flatnonzero(rows.crc32 != file["crc32"][:])
    if len(damaged):
        named = ", ".join(f"{row} ({expected[row]})" for row in damaged[:NAMED_ROWS])
        more = f" and {len(damaged) - NAMED_ROWS} more" if len(damaged) > NAMED_ROWS else ""
        found.append(f"rows changed since they were written: {named}{more}")
    return found + rows.faults(file, plan)


def _layout_faults(file: h5py.File, layout: Layout) -> list[str]:
    """Compare names, types and shapes of the datasets with the format."""
    found = []
    for name, (shape, dtype) in layout.items():
        if name not in file:
            found.append(f"dataset {name!r} is missing")
        elif not _fits(file[name].shape, shape) or (dtype and file[name].dtype != dtype):
            wanted = str(shape).replace("None", "any")
            found.append(
                f"dataset {name!r} must be {dtype or 'text'} of shape {wanted}, "
                f"got {file[name].dtype} of shape {file[name].shape}"
            )
    return found


def _fits(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    """Tell whether a dataset has a shape, None being any length."""
    return len(found) == len(shape) and all(
        length in (None, there) for there, length in zip(found, shape, strict=True)
    )


def changed_images(images: Path, store: Path, shard: int, *, thorough: bool = False) -> list[str]:
    """List the images of a finished shard that are not those that were read for it.

    Parameters
    ----------
    images : Path
        Their folder.
    store : Path
        The store.
    shard : int
        Number of the shard.
    thorough : bool, default False
        Read every image; otherwise only those that are as large as they were but were
        written after the shard.

    Returns
    -------
    list of str
        Their paths, escaped.
    """
    path = shard_path(store, shard)
    with reading(path), open_shard(path, Plan.load(store).fingerprint()) as file:
        names = [str(name) for name in file["path"].asstr()[:]]
        columns: list[NDArray[Any]] = [file[name][:] for name in ("bytes", "file_crc32")]
    since = -np.inf if thorough else path.stat().st_mtime
    rows = zip(names, *(column.tolist() for column in columns), strict=True)
    return [
        name for name, size, crc in rows if _changed(images / unescaped(name), size, crc, since)
    ]


def require_unchanged(
    images: Path,
    store: Path,
    shards: list[int],
    *,
    advance: Callable[[], object] = lambda: None,
) -> None:
    """Refuse to go on with a store some of whose images have changed since.

    Parameters
    ----------
    images : Path
        Their folder.
    store : Path
        The store.
    shards : list of int
        Its finished shards.
    advance : callable, optional
        Called for each of them that was looked at.

    Raises
    ------
    StoreError
        If an image is not the one that was read, by `changed_images`.
    """
    look = functools.partial(changed_images, images, store)
    found: list[str] = []
    for some in run(look, shards, jobs=READERS, backend="threading"):
        found += some
        advance()
    if found:
        raise StoreError(
            f"--images {images}: {len(found)} images must be those that the store was made of, "
            f"got others, such as {min(found)!r}: dilo-prep verify {store} --images {images} "
            f"--repair moves their shards aside, to be made anew; or give a fresh folder"
        )


def _changed(image: Path, size: int, crc32: int, since: float) -> bool:
    """Tell whether a file is another one than that which was read, by size, then by content."""
    if size < 0:  # it was not read
        return False
    try:
        found = os.stat(image)
        if found.st_size == size and (size == 0 or found.st_mtime <= since):
            return False
        content = read_file(image)
    except (OSError, ImageError):
        return size > 0  # what could not be read then may stay so
    return len(content) != size or isal_zlib.crc32(content) != crc32


def repaired(store: Path, plan: Plan, checks: list[Check]) -> list[Path]:
    """Take the shards at fault out of their store, so that the next run makes them anew.

    Parameters
    ----------
    store : Path
        The store.
    plan : Plan
        Its plan.
    checks : list of Check
        The shards at fault.

    Returns
    -------
    list of Path
        Where their files are now, in case somebody wants to look.

    Raises
    ------
    StoreError
        If most shards follow another plan: then the plan is at fault, and nothing is moved.
    """
    if sum(check.foreign for check in checks) * 2 > plan.shards:
        raise StoreError(
            f"{store / PLAN} must be the plan of the shards beside it, got another one, or a "
            f"changed one: nothing was moved; restore it, or make a fresh store"
        )
    return [_aside(store, check.shard) for check in checks if check.there]


def _aside(store: Path, shard: int) -> Path:
    """Move a shard out of the way, beside what was moved before."""
    path = shard_path(store, shard)
    folder = store / ASIDE
    folder.mkdir(exist_ok=True)
    place, count = folder / path.name, 0
    while place.exists():
        count += 1
        place = folder / f"{path.name}.{count}"
    return path.rename(place)
