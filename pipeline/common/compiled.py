"""Compile a loop to machine code once a machine: numba, its cache off shared file systems."""

import contextlib
import os
import platform
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config as _config
from numba.core.event import Event, Listener, install_listener

from dilo.pipeline.common.cachefolder import home_cache, temporary_cache
from dilo.pipeline.common.startup import safe_path

Function = TypeVar("Function", bound=Callable[..., Any])

#: What a user can do where compiled code cannot be kept, or not where it is expected.
_REMEDY = "set NUMBA_CACHE_DIR to a folder that only you can write, on a disk of this machine"
#: Owner of what belongs to nobody in this container, as its root folder may.
_NOBODY = 65534


@dataclass(frozen=True)
class Cache:
    """Where compiled code is kept from one process to the next."""

    #: A folder of this user, or what numba's own variable NUMBA_CACHE_DIR says; None where none can
    #: be made or trusted, and each process must compile.
    folder: Path | None = None
    #: The folders that would have come before, each with why it is not used.
    skipped: tuple[str, ...] = ()


def find_cache() -> Cache:
    """Choose where compiled code is kept, and make that folder.

    Hundreds of nodes that write one cache on a shared disk break each other's files, so it
    lies in this machine's folder for temporary files, readable by this user alone: what is
    loaded from there is run. Where that cannot be had, it lies in the user's own cache, in
    a folder for each machine.
    """
    skipped: list[str] = []
    for choose, distrust in (
        (_configured_folder, _unwritable_reason),
        (temporary_cache, _distrust_reason),
        (_home_folder, _distrust_reason),
    ):
        try:
            folder = choose()
            if folder is None:
                continue
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            reason = distrust(folder)
        except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home
            skipped.append(str(error))
            continue
        if reason is None:
            return Cache(folder, tuple(skipped))
        skipped.append(f"{folder} {reason}")
    return Cache(None, tuple(skipped))


def _configured_folder() -> Path | None:
    """Name the folder that numba's own variable says, where it says one."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return Path(folder) if folder else None


def _unwritable_reason(folder: Path) -> str | None:
    """Return why numba would pass over the folder that the user chose; None if it would not."""
    return None if os.access(folder, os.W_OK | os.X_OK) else "cannot be written"


def _home_folder() -> Path:
    """Name the folder in the user's cache: homes are shared, so one for each machine."""
    return home_cache() / f"compiled-{platform.node() or 'machine'}"


def _distrust_reason(folder: Path) -> str | None:
    """Return why others might put code into a folder, or None if they cannot."""
    status, user = folder.lstat(), os.getuid()
    if not stat.S_ISDIR(status.st_mode):
        return "is no folder"
    if status.st_uid != user:
        return f"belongs to user {status.st_uid}, not to you"
    if status.st_mode & 0o077:
        return "is open to others (chmod 700)"
    if reason := _unwritable_reason(folder):
        return reason
    for parent in folder.resolve().parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"could be replaced: all may write {parent} (chmod +t)"
    owner = folder.resolve().parent.stat().st_uid
    if owner not in (user, 0, _NOBODY):
        return f"could be replaced: its parent belongs to user {owner}"
    return None


config: Any = _config  # its settings are made when it is imported, unseen by type checkers
if safe_path():  # at each compilation it would look again for a file of settings where we stand
    config._config_fname = os.devnull
#: Where this process keeps what it compiles.
CACHE = find_cache()


@contextlib.contextmanager
def announce_compiling(say: Callable[[str], object], line: str) -> Iterator[None]:
    """Announce once, when numba begins to compile, that it does; not where it loads all."""
    with install_listener("numba:compile", _Announcement(say, line)):
        yield


class _Announcement(Listener):
    """Pass on a line at the first event, and where compiled code is, if not where expected."""

    def __init__(self, say: Callable[[str], object], line: str) -> None:
        self._say, self._line = say, line

    def on_start(self, event: Event) -> None:
        """Pass the line on, the first time."""
        if self._line:
            line, self._line = self._line, ""
            self._say(line)
            if CACHE.skipped:
                self._say(_cache_note(CACHE))

    def on_end(self, event: Event) -> None:
        """Do nothing."""


def _cache_note(cache: Cache) -> str:
    """Write that compiled code is kept elsewhere, or nowhere, and what to do."""
    reasons = "; ".join(cache.skipped)
    if cache.folder is None:
        return (
            f"compiled code cannot be cached, so each process compiles again: {reasons}: {_REMEDY}"
        )
    return f"compiled code is cached in {cache.folder}, because {reasons}; to change it, {_REMEDY}"


def compiled(function: Function) -> Function:
    """Compile a function when it is first called, or load what an earlier process compiled.

    Without numba's fast mathematics: sums keep their order and no product is fused, so that
    a mask's bytes do not depend on how wide the processor's vectors are.
    """
    dispatcher: Any = numba.njit(function, nogil=True, error_model="numpy")
    if CACHE.folder is not None and not config.DISABLE_JIT:
        previous = config.CACHE_DIR
        config.CACHE_DIR = str(CACHE.folder)  # for these functions alone
        # Where the disk is full by now, numba has no other place for it, and says so.
        with contextlib.suppress(RuntimeError):
            dispatcher.enable_caching()
        config.CACHE_DIR = previous
    return dispatcher  # type: ignore[no-any-return]
