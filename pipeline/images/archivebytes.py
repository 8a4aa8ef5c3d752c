"""The bytes of archives: one handle an archive and process, read by offset, never by position."""

import functools
import os
import resource
import weakref
from typing import NamedTuple

from dilo.pipeline.errors import ImageError
from dilo.pipeline.images.source import changed_since
from dilo.pipeline.images.zips import HEADER, data_offset

#: Archives that a process holds open at most, and at least.
_MOST, _LEAST = 1024, 16


class Archive(NamedTuple):
    """An archive as it was listed."""

    path: str
    #: Its bytes, and when it was written, in nanoseconds.
    size: int
    time: int


class _Handle:
    """An archive that is open; closed when no thread holds it any more."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # Not by __del__, which at the end of a program finds no `os` any more, and says so.
        weakref.finalize(self, os.close, self.descriptor)


def _max_open() -> int:
    """Choose how many archives are held open: half of the files that this process may."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(_LEAST, min(_MOST, limit // 2 if limit > 0 else _MOST))


# A process that is forked shares the handles: reading at an offset moves no position.
open_handle = functools.lru_cache(_max_open())(_Handle)


def read_at(archive: Archive, offset: int, count: int) -> bytes:
    """Read bytes of an archive, which must be as it was listed."""
    try:
        handle = open_handle(archive.path)
        status = os.fstat(handle.descriptor)
        if status.st_size != archive.size or status.st_mtime_ns != archive.time:
            open_handle.cache_clear()
            raise changed_since(archive.path)
        content = os.pread(handle.descriptor, count, offset)
        while len(content) < count and (
            more := os.pread(handle.descriptor, count - len(content), offset + len(content))
        ):
            content += more
    except OSError:
        open_handle.cache_clear()  # a disk that came back has other handles
        raise
    if len(content) < count:
        raise ImageError("its archive ends before it does")
    return content


def read_packed(archive: Archive, offset: int, count: int) -> bytes:
    """Read the bytes of a member of a zip, behind its header."""
    header = read_at(archive, offset, HEADER)
    return read_at(archive, offset + data_offset(header), count)
