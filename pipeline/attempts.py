"""The rows of a shard as they are tried: what goes wrong with an image is its row's error alone."""

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from isal import isal_zlib

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.finding import holds_anything
from dilo.pipeline.images import PASSING, read_file
from dilo.pipeline.names import unescaped
from dilo.pipeline.rows import ImageRows

#: What the operating system says where a disk has gone, rather than a file.
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.EHOSTDOWN}
#: So many images of a shard that cannot be read, though they are there, are the disk's fault.
DISK_ERRORS = 10

T = TypeVar("T")


@dataclass(frozen=True)
class Attempts:
    """Tries the rows of a shard, several threads at once if need be.

    Attributes
    ----------
    images : Path
        Folder that the paths are relative to.
    method : str
        What makes the rows, for the message.
    rows : ImageRows
        Those that are made.
    broken : mapping of int to str
        Rows that must not be tried, and why.
    """

    images: Path
    method: str
    rows: ImageRows
    broken: Mapping[int, str] = field(default_factory=dict)
    _unread: list[int] = field(default_factory=list)

    def content(self, row: int) -> bytes | None:
        """Read the image of a row, and record what was read.

        Parameters
        ----------
        row : int
            Row in the shard.

        Returns
        -------
        bytes or None
            Its file; None where that cannot be read, or the row must not be tried.

        Raises
        ------
        DiloError
            If the disk is at fault.
        """
        self.rows.bytes[row] = 0  # until it is read
        content = self.part(row, self._read, row)
        if content is not None and row in self.broken:
            self.rows.error[row] = self.broken[row]
            return None
        return content

    def part(self, row: int, work: Callable[..., T], *arguments: object) -> T | None:
        """Do a part of what a row takes.

        Parameters
        ----------
        row : int
            Row in the shard.
        work : callable
            What to do.
        *arguments : object
            With what.

        Returns
        -------
        T or None
            What it gave; None where it failed, and the row says why.

        Raises
        ------
        DiloError
            If no image is at fault, such as where a disk is gone.
        """
        try:
            return work(*arguments)
        except ImageError as error:
            self._require_disk(row, error)
            self.rows.error[row] = str(error)
        except DiloError:
            raise
        # A method that stumbles over one image must not take the others with it.
        except Exception as error:
            self.rows.error[row] = f"{self.method} failed: {type(error).__name__}: {error}"
        return None

    def _read(self, row: int) -> bytes:
        """Read a file."""
        content = read_file(self.images / unescaped(self.rows.path[row]))
        self.rows.bytes[row] = len(content)
        self.rows.file_crc32[row] = isal_zlib.crc32(content)
        return content

    def _require_disk(self, row: int, error: ImageError) -> None:
        """Stop where not an image but its disk is at fault: not mounted, or failing."""
        path = unescaped(self.rows.path[row])
        folder = (self.images / path).parent
        if error.errno in _GONE and not holds_anything(folder):
            raise DiloError(
                f"{folder} must hold {path!r} of the store's list, got nothing there: is the disk "
                f"mounted? Finished shards are kept; give the same command to go on"
            ) from error
        if error.errno in PASSING:
            self._unread.append(row)
        if len(self._unread) >= DISK_ERRORS:
            raise DiloError(
                f"{self.images}: {len(self._unread)} images of one shard could not be read, "
                f"{path!r} for: {error}: mend the disk; finished shards are kept, "
                f"and the same command goes on"
            ) from error
