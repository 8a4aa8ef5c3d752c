"""What the machine is to blame for, as a sentence; the rest is a bug, and told as one."""

import errno
import os
import re
import traceback
from pathlib import Path
from typing import Final

from dilo.pipeline.common.printing import printable
from dilo.pipeline.errors import REMEDIES, errno_of

#: What else the system may answer, beside what `REMEDIES` has: of the path, mostly.
_PATH_REMEDIES: Final = {
    errno.ENOENT: "is the path right, and its disk mounted?",
    errno.EEXIST: "give another path, or move the existing one away",
    errno.ENOTDIR: "a part of the path is a file: name another path",
    errno.EISDIR: "it is a folder: name a file",
    errno.ENOTEMPTY: "name an empty folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its links lead in a circle: remove one",
    errno.EFBIG: "neither its disk nor ulimit -f takes so large a file: raise the limit, or name "
    "a folder on another disk",
    errno.EPIPE: "the program that reads the output has ended: let it read all, or write to a file",
    errno.ECONNREFUSED: "is the server of that address running?",
}
_DEFAULT_REMEDY = "check the path and its disk, then run the same command again"
#: Errors of writing: where no file is named, it is one below the output.
_WRITING = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG))
#: Where Python and joblib ask for shared memory, and name no file.
_SHARING = re.compile(r"(multiprocessing|loky).*[/\\](synchronize|heap|shared_memory)\.py$")
#: How torch says the same.
_SHARED_WORDS = re.compile(r"shared memory|torch_shm_manager|\(shm\)|/dev/shm")
#: How torch says that memory is short: on a GPU, on a CPU.
_MEMORY_WORDS = re.compile(r"out of memory|can't allocate memory|not enough memory")
#: How HDF5 names a file.
_FILE_OF_HDF5 = re.compile(r"\bname = '([^']*)'")


def sentence_of(
    error: BaseException, *, sharing_advice: str, out: Path | None = None
) -> str | None:
    """Explain an error that lies in the machine, or in what it was given.

    Returns the sentence, with a remedy; None for what is a bug.
    """
    text = str(error)
    if _is_of_shared_memory(error):
        return (
            f"/dev/shm: {_reason(error)}: processes cannot share memory: {sharing_advice}mount a "
            f"tmpfs there that this user may write (docker run --shm-size=8g or --ipc=host)"
        )
    if isinstance(error, OSError):
        return _system_sentence(error, out)
    if isinstance(error, RecursionError):
        return "something is nested too deep to be read: is each file the right one?"
    if isinstance(error, MemoryError) or _MEMORY_WORDS.search(text):
        return (
            f"memory is short{_detail(text)}: use fewer --workers, smaller "
            f"batches or sizes, or a machine with more"
        )
    if isinstance(error, OverflowError) or "overflowed" in text:
        return (
            f"a number is too large{_detail(text)}: correct the options, or the "
            f"file that it comes from"
        )
    if isinstance(error, ImportError):
        return f"a package cannot be imported: {one_line(error)}: reinstall it and dilo"
    return None


def one_line(error: BaseException, max_length: int = 500) -> str:
    """Write an error in one line, without the traceback that some carry in their words."""
    text = str(error)
    if "Traceback (most recent call last)" in text:  # of a worker, as torch hands it on
        return printable(text.strip().rpartition("\n")[2], max_length)
    line = " ".join(text.split())
    return printable(
        f"{type(error).__name__}: {line}" if line else type(error).__name__, max_length
    )


def _system_sentence(error: OSError, out: Path | None) -> str:
    """Name the file, what the system says of it, and what to do."""
    match = _FILE_OF_HDF5.search(str(error))
    number = errno_of(error)
    if error.filename is not None:
        path = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    elif match:
        path = match[1]
    elif number == errno.EPIPE:
        path = "standard output"
    elif number in _WRITING and out is not None:
        path = out
    else:
        path = f"a file below {out}, or one that it is made of" if out else "a file"
    remedy = REMEDIES.get(number) or _PATH_REMEDIES.get(number, _DEFAULT_REMEDY)
    return f"{path}: {_reason(error)}: {remedy}"


def _reason(error: BaseException) -> str:
    """Return what the system said."""
    if isinstance(error, OSError) and (number := errno_of(error)):
        return os.strerror(number)
    return one_line(error, 200)


def _detail(text: str) -> str:
    """Return the first line of an error's words, in brackets; nothing where there are none."""
    first_line = text.strip().split("\n", 1)[0]
    return f" ({printable(first_line, 200)})" if first_line else ""


def _is_of_shared_memory(error: BaseException) -> bool:
    """Check whether an error says that shared memory cannot be had."""
    if isinstance(error, OSError):
        if str(error.filename or "").startswith("/dev/shm"):
            return True
        frames = traceback.extract_tb(error.__traceback__)
        return error.filename is None and any(_SHARING.search(f.filename) for f in frames[-3:])
    return isinstance(error, RuntimeError) and bool(_SHARED_WORDS.search(str(error)))
