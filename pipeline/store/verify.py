"""Check that a store is what was written, and its images those that were read."""

import errno
import functools
import os
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from dilo.pipeline.errors import (
    REMEDIES,
    SHORTAGE_ERRNOS,
    AccessError,
    ImageError,
    StoreError,
    require_access,
)
from dilo.pipeline.images.folder import lexists
from dilo.pipeline.images.names import escaped, unescaped
from dilo.pipeline.images.presence import require_images
from dilo.pipeline.images.source import ImageSource
from dilo.pipeline.store.plan import PLAN, Plan, cached_names, load_names, shard_path
from dilo.pipeline.store.shardfile import DIGEST, matches_digest, reading_shard

#: Where damaged shards go, inside the store.
DAMAGED = "damaged"
#: Threads that ask a slow disk about images; they wait, most of the time.
READERS = 16
#: How many shards that were moved have a command each to undo it.
MAX_COMMANDS = 3
#: So many changed images, and most of all, are another folder.
MIN_CHANGED = 3
#: What the name of a shard's file ends with.
SUFFIX = ".h5"


@dataclass(frozen=True)
class Changes:
    """What became of the images of a shard since they were read for it."""

    #: How many were looked for.
    checked: int = 0
    #: Those that were read and are others now, by their paths, escaped, as below.
    changed: list[str] = field(default_factory=list)
    #: Those that are not there.
    absent: list[str] = field(default_factory=list)
    #: Those that are there and cannot be read now, and why.
    unread: dict[str, str] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Count those of which nothing can be said."""
        return len(self.absent) + len(self.unread)

    @property
    def mostly_changed(self) -> bool:
        """Check whether most are others now: then it is another folder."""
        return len(self.changed) >= MIN_CHANGED and len(self.changed) * 2 > self.checked

    def __add__(self, other: "Changes") -> "Changes":
        return Changes(
            self.checked + other.checked,
            self.changed + other.changed,
            self.absent + other.absent,
            self.unread | other.unread,
        )


@dataclass(frozen=True)
class Check:
    """What was found in a shard."""

    #: Its number.
    shard: int
    #: Rows that it should hold.
    images: int
    #: One sentence a fault; empty for a sound shard, and for one that is still to be made.
    faults: list[str]
    #: Whether there is a file.
    exists: bool
    #: Whether it follows another plan than the one beside it.
    other_plan: bool
    #: What became of its images; those that are not there are no fault of the shard.
    changes: Changes = field(default_factory=Changes)


@dataclass(frozen=True)
class Verifier:
    """Checks the shards of a store; calling it with a number is a task for any worker."""

    #: The store.
    store: Path
    #: The images; if given, each is read and compared with the one that was read.
    images: ImageSource | None = None

    def __call__(self, shard: int) -> Check:
        """Re-read one shard."""
        plan = Plan.load(self.store)
        names = cached_names(self.store, plan.digest)
        expected = [escaped(names[i]) for i in plan.rows(shard)]
        path = shard_path(self.store, shard)
        if not lexists(path):
            return Check(shard, len(expected), [], exists=False, other_plan=False)
        problems, changes = find_faults(self.store, plan, shard, expected), Changes()
        if self.images and not problems:
            changes = compare_images(self.images, self.store, shard, thorough=True)
            problems = [f"{path.name}: {name}: the image changed since" for name in changes.changed]
        other_plan = any("of another plan" in fault for fault in problems)
        return Check(shard, len(expected), problems, True, other_plan, changes)


def find_faults(store: Path, plan: Plan, shard: int, expected: list[str]) -> list[str]:
    """Re-read a shard that holds the `expected` images, and list what is wrong with it.

    Its digest proves every byte; the plan and the list, that it belongs here.
    """
    path = shard_path(store, shard)
    try:
        with reading_shard(store, plan, shard) as file:
            if not matches_digest(path.read_bytes(), file.attrs.get(DIGEST, b"")):
                return [f"{path.name}: its bytes are not those that were written"]
            if [str(name) for name in file["path"].asstr()[:]] != expected:
                return [f"{path.name}: its paths are not those of images.txt"]
    except StoreError as error:
        return [str(error)]
    except AccessError:
        raise
    # A damaged file makes h5py raise whatever its first broken part is read as.
    except Exception as error:
        require_access(error, path)
        return [f"{path.name}: cannot be read: {error}"]
    return []


def compare_images(
    images: ImageSource, store: Path, shard: int, *, thorough: bool = False
) -> Changes:
    """Compare the images of a finished shard with those that were read for it.

    If `thorough`, each image is read; otherwise only those that are as large as they were but were
    written after the shard. What the machine is short of is raised.
    """
    with reading_shard(store, Plan.load(store), shard) as file:
        names = [str(name) for name in file["path"].asstr()[:]]
        columns: list[NDArray[Any]] = [file[name][:] for name in ("bytes", "file_crc32")]
    since = -np.inf if thorough else shard_path(store, shard).stat().st_mtime
    changes = Changes(sum(size > 0 for size in columns[0].tolist()))
    for name, size, crc in zip(names, *(column.tolist() for column in columns), strict=True):
        if size >= 0:  # else it was not read
            _compare_image(images, name, (size, crc), since, changes)
    return changes


def require_unchanged(
    images: ImageSource,
    store: Path,
    shards: list[int],
    *,
    advance: Callable[[], object] = lambda: None,
) -> None:
    """Refuse to go on with a store whose images changed or are gone, by `compare_images`."""
    compare = functools.partial(compare_images, images, store)
    plan, total = Plan.load(store), Changes()
    require_images(images, load_names(store, plan))
    with ThreadPoolExecutor(READERS) as pool:
        for changes in pool.map(compare, shards):
            total += changes
            advance()
    if total.lost:
        raise StoreError(f"--images {images.path}: {_describe_lost(images, total)}")
    if total.mostly_changed:
        raise StoreError(_describe_other_folder(store, total))
    if total.changed:
        raise StoreError(
            f"--images {images.path}: {len(total.changed)} images must be those that the store was "
            f"made of, got others, such as {min(total.changed)!r}: dilo-prep verify {store} "
            f"--images {images.path} --repair moves their shards aside, to be rebuilt; or give a "
            f"new folder"
        )


def _describe_lost(images: ImageSource, changes: Changes) -> str:
    """Describe which images are not there, or cannot be read now."""
    if changes.absent:
        return (
            f"{len(changes.absent)} of {changes.checked} images are missing, such as "
            f"{changes.absent[0]!r}: {images.whereabouts(unescaped(changes.absent[0]))}"
        )
    name, reason = next(iter(changes.unread.items()))
    return (
        f"{len(changes.unread)} of {changes.checked} images must be readable, got {name!r}: "
        f"{reason}: fix that first"
    )


def _compare_image(
    images: ImageSource, name: str, recorded: tuple[int, int], since: float, changes: Changes
) -> None:
    """Record in `changes` an image that is another than that which was read, or is lost."""
    size, crc32 = recorded
    path = unescaped(name)
    try:
        if not images.may_differ(path, size, since):
            return
        content = images.read(path)
    except (OSError, ImageError) as error:
        if error.errno in SHORTAGE_ERRNOS:
            raise AccessError(
                f"{images.location(path)}: {error}: {REMEDIES[error.errno]}", error.errno
            ) from error
        if not size:  # what could not be read then may stay so
            return
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            changes.absent.append(name)
        else:
            changes.unread[name] = getattr(error, "strerror", None) or str(error)
        return
    if len(content) != size or isal_zlib.crc32(content) != crc32:
        changes.changed.append(name)


def require_right_folder(images: ImageSource, changes: Changes) -> None:
    """Refuse to say anything of a store by a folder that most of its images are not in."""
    if 2 * changes.lost > changes.checked:
        reason = _describe_lost(images, changes)
        raise StoreError(f"--images {images.path}: nothing was moved: {reason}")


def move_damaged(store: Path, plan: Plan, checks: list[Check]) -> list[Path]:
    """Take the shards at fault out of their store, so that the next run makes them anew."""
    if sum(check.other_plan for check in checks) * 2 > plan.shards:
        raise StoreError(
            f"{store / PLAN} must be the plan of the shards beside it, got another one, or a "
            f"changed one: nothing was moved; restore it, or make a fresh store"
        )
    changes = sum((check.changes for check in checks), Changes())
    if changes.mostly_changed:
        raise StoreError(_describe_other_folder(store, changes))
    folder = store / DAMAGED
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise StoreError(
            f"{folder} must be a folder, got a link or a file: nothing was moved; move it away"
        )
    return [_move_aside(store, check.shard) for check in checks if check.exists and check.faults]


def _describe_other_folder(store: Path, changes: Changes) -> str:
    """Describe a folder that holds other images than the store was made of."""
    return (
        f"--images must be the folder that {store} was made of, got other images by the same "
        f"names, {len(changes.changed)} of {changes.checked}: nothing was moved; give that folder, "
        f"or make a fresh store of this one"
    )


def undo_advice(store: Path, moved: list[Path]) -> str:
    """Describe how shards that were moved aside come back."""
    if len(moved) > MAX_COMMANDS:
        return f"to undo: move them back, mv -n {shlex.quote(str(moved[0].parent))}/NAME {store}"
    commands = [
        f"mv -n {shlex.quote(str(path))} "
        f"{shlex.quote(str(store / f'{path.name.partition(SUFFIX)[0]}{SUFFIX}'))}"
        for path in moved
    ]
    return f"to undo: {' && '.join(commands)}"


def _move_aside(store: Path, shard: int) -> Path:
    """Move a shard out of the way, beside what was moved before."""
    path = shard_path(store, shard)
    folder = store / DAMAGED
    folder.mkdir(exist_ok=True)
    target, count = folder / path.name, 0
    while os.path.lexists(target):
        count += 1
        target = folder / f"{path.name}.{count}"
    return path.rename(target)
