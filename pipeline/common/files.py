"""Publish files so that a reader sees a whole one or none, whatever kills the writer."""

import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dilo.pipeline.common.processes import is_alive, own_namespace
from dilo.pipeline.errors import DiloError, require_access

#: Seconds after which a file that is being written, which takes seconds, is nobody's.
LEFTOVER_AGE = 86_400.0

#: Bytes that the name of a file may have, on nearly every file system.
_MAX_NAME = 255
# name, place, process and a random part: two writers never share a left-over
_PART = re.compile(r"^\.(?P<name>.+)\.(?P<place>[^.]+)\.(?P<pid>\d+)\.[0-9a-f]{8}\.part$")


def temporary_name(path: Path) -> Path:
    """Name a file to write beside another, such that `remove_leftovers` knows a left-over."""
    suffix = f".{own_namespace()}.{os.getpid()}.{secrets.token_hex(4)}.part"
    name, limit = path.name, _MAX_NAME - len(suffix) - 1
    if len(os.fsencode(name)) > limit:
        name = os.fsencode(name)[:limit].decode(errors="ignore")
    return path.with_name(f".{name}{suffix}")


@contextmanager
def _temporary_file(path: Path) -> Iterator[Path]:
    """Yield a name beside a file's, to write to; what is still there at the end goes."""
    part = temporary_name(path)
    try:
        yield part
    except OSError as error:
        # A write that fails names no file, and the part's name would tell nobody anything.
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with suppress(OSError):  # the error that is on its way says more
            part.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path to write to, and publish what was written if the block ends cleanly.

    The file is written beside its final name, flushed to the disk and renamed, and
    the folder is flushed too: after a crash the final name holds the whole new file,
    the whole old one, or nothing. If the block raises, nothing is published.
    """
    with _temporary_file(path) as part:
        yield part
        _flush(part)
        part.replace(path)
        flush_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Publish a text file in UTF-8."""
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_if_absent(path: Path, text: str) -> bool:
    """Publish a text file in UTF-8 unless there is one; return whether it was published.

    Of several writers, one wins.
    """
    with _temporary_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
        _flush(part)
        try:
            os.link(part, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links: the later of two writers wins
            if path.exists():
                return False
            part.replace(path)
        flush_folder(path.parent)
    return True


def remove_leftovers(folder: Path) -> int:
    """Remove what killed writers of this machine left behind, and count it.

    Left-overs of a living process, and those of another machine or container, whose processes
    cannot be asked, are left alone for a day.
    """
    removed = 0
    for part in folder.glob(".*.part"):
        match = _PART.match(part.name)
        if not match:
            continue
        is_dead = is_alive(match["place"], int(match["pid"])) is False
        if is_dead or _age(part) > LEFTOVER_AGE:
            part.unlink(missing_ok=True)
            removed += 1
    return removed


def _age(path: Path) -> float:
    """Return for how many seconds nobody has written to a file; 0 if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def size_and_time(path: Path, rule: str) -> tuple[int, int]:
    """Return the bytes of a file, and when it was written; `rule` ends the words if it is gone."""
    try:
        status = os.stat(path)
    except OSError as error:
        require_access(error, path)
        raise DiloError(f"{path} {rule} {error.strerror}") from error
    return status.st_size, status.st_mtime_ns


def flush_folder(folder: Path) -> None:
    """Wait until a folder's list of names is on the disk, where the disk can be asked to.

    Where it cannot, a power cut may take back the newest names, and a run makes those files
    again.
    """
    try:
        _flush(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk, or fail."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
