"""What a user can mend: errors that name the thing, the rule, what was got and what to do."""

import difflib
import errno
import os
import re
from collections.abc import Iterable, Sequence
from typing import Final


class DiloError(Exception):
    """Something the user can act on; a command line prints it without a traceback."""


class ImageError(DiloError):
    """An image that cannot be read; recorded beside its path, never the end of a run.

    Parameters
    ----------
    reason : str
        What is wrong, without the path.
    errno : int, optional
        What the system said, as `errno` names it, where the file could not be read: then
        the picture itself may be sound. None for a file that was read and is no sound image.
    """

    def __init__(self, reason: str, errno: int | None = None) -> None:
        super().__init__(reason)
        self.errno = errno


class StoreError(DiloError):
    """A store of shards that is missing, damaged, or not what was asked for."""


class RecipeError(DiloError):
    """A recipe, or an option that overrides it, that cannot be used."""


class CheckpointError(DiloError):
    """A checkpoint that cannot be read or does not fit."""


def first_few(names: Sequence[str]) -> str:
    """List the first three names and count the rest.

    Parameters
    ----------
    names : sequence of str
        All.

    Returns
    -------
    str
        For a sentence.
    """
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def near(name: object, known: Iterable[str]) -> str:
    """Guess which name was meant.

    Parameters
    ----------
    name : object
        What was given.
    known : iterable of str
        What there is.

    Returns
    -------
    str
        ": did you mean ...?", to end a sentence with; empty where nothing is near.

    Examples
    --------
    >>> near("rdb", ["rbd", "gs"]), near("zzz", ["rbd", "gs"])
    (': did you mean rbd?', '')
    """
    matches = difflib.get_close_matches(str(name)[:100], sorted(known))
    return f": did you mean {' or '.join(matches[:2])}?" if matches else ""


class ContentError(DiloError, ValueError):
    """A file that was read, and whose content is not what it must be."""


class AccessError(DiloError):
    """A file that the system does not give or take now; its content may be sound.

    Never a reason to repair, to replace or to pass over what could not be read.

    Parameters
    ----------
    message : str
        The sentence, with path and remedy.
    errno : int, default 0
        What the system said; the default is for pickle, which sets it afterwards.
    """

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


_OWNER = "this user has no right to it: ask its owner, or use chmod"
_HANDLES = "too many files are open: raise the limit with ulimit -n 4096"
_DISK = "the disk does not answer as it should: wait, or ask its administrator"
_ROOM = "make room, or name a folder on another disk"
_MEMORY = "memory is short: use fewer --workers, or ask for more"
#: What to do about an error that lies in the system, never in what a file holds.
REMEDIES: Final = {
    errno.EACCES: _OWNER,
    errno.EPERM: _OWNER,
    errno.EMFILE: _HANDLES,
    errno.ENFILE: _HANDLES,
    errno.EIO: _DISK,
    errno.ESTALE: _DISK,
    errno.ETIMEDOUT: _DISK,
    errno.ENOTCONN: _DISK,
    errno.EHOSTDOWN: _DISK,
    errno.EREMOTEIO: _DISK,
    errno.ENOMEM: _MEMORY,
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: "its disk is read-only: name a folder on another disk",
}
#: Those of a machine that is short of something: no single file is to blame.
SHORTAGE_ERRNOS: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))
#: HDF5 says the number in the middle of its words.
_NUMBER = re.compile(r"\berrno = (\d+)")


def errno_of(error: OSError) -> int:
    """Return the number of what the system said, wherever it stands.

    Parameters
    ----------
    error : OSError
        Raised by Python, or by HDF5, which says it in its words alone.

    Returns
    -------
    int
        As `errno` names it; 0 where there is none.
    """
    match = _NUMBER.search(str(error))
    return error.errno or (int(match[1]) if match else 0)


def system_errno(error: BaseException) -> int | None:
    """Find which error of the system an exception stands for.

    Parameters
    ----------
    error : BaseException
        What was raised, by Python or by HDF5.

    Returns
    -------
    int or None
        A key of `REMEDIES`; None where the system is not to blame: then the file is missing, or
        its content is wrong.
    """
    if isinstance(error, AccessError):
        return error.errno
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, ImageError):
        return error.errno if error.errno in REMEDIES else None
    if not isinstance(error, OSError):
        return None
    number = errno_of(error)
    return number if number in REMEDIES else None


def require_access(error: BaseException, path: object) -> None:
    """Raise what the system is to blame for as such; return where it is not.

    Parameters
    ----------
    error : BaseException
        What reading or writing a file raised.
    path : Path or str
        The file.

    Raises
    ------
    AccessError
        If the system is to blame.
    """
    if (number := system_errno(error)) is not None:
        message = f"{path}: {os.strerror(number)}: {REMEDIES[number]}"
        raise AccessError(message, number) from error
