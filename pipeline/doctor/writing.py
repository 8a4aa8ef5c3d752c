"""What a file system really does: files made, flushed, renamed, linked and dated in a folder."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dilo.pipeline.common.disk import write_flushed
from dilo.pipeline.common.files import flush_folder
from dilo.pipeline.doctor.report import Finding
from dilo.pipeline.doctor.speed import publishing, time_publishing, time_writing, write_speed

#: Seconds after which a lock service is taken for dead.
PATIENCE = 2.0

_LOCK = (
    "import errno, fcntl, sys\n"
    "try: fcntl.flock(open(sys.argv[1], 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    "except OSError as error: sys.exit(errno.errorcode.get(error.errno, str(error)))\n"
)


def lock_fault(path: Path, code: str = _LOCK, patience: float = PATIENCE) -> str | None:
    """Lock a file, in a process of its own: a dead lock service answers no one.

    Parameters
    ----------
    path : Path
        The file; made if it is missing.
    code : str
        Python that locks it.
    patience : float
        Seconds after which it is given up.

    Returns
    -------
    str or None
        Why it cannot be locked.
    """
    command = [sys.executable, "-I", "-S", "-c", code, os.fspath(path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _, error = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        # A process that waits for a dead server does not even die.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=patience)
        return f"no answer in {patience:g} s"
    lines = error.strip().splitlines()
    return None if process.returncode == 0 else (lines[-1] if lines else "no reason given")


def locks(fault: str | None) -> Finding:
    """Say whether files can be locked, which dilo never asks for.

    Parameters
    ----------
    fault : str or None
        Why not.

    Returns
    -------
    Finding
        Well either way; advice for other programs.
    """
    if fault is None:
        return Finding("locks", "ok", "work, and are not needed")
    advice = "other programs read shards with HDF5_USE_FILE_LOCKING=FALSE"
    return Finding("locks", "ok", f"none ({fault}), and not needed", advice)


@dataclass(frozen=True)
class KeptNames:
    """Which names of files come back as they were given.

    Attributes
    ----------
    long : bool
        One of 240 letters.
    accents : bool
        A letter with an accent, as one character and as two.
    raw : bool
        Bytes that are not UTF-8.
    case : bool
        Two that differ in upper and lower case alone.
    """

    long: bool
    accents: bool
    raw: bool
    case: bool


def kept_names(folder: Path) -> KeptNames:
    """Try names of files.

    Parameters
    ----------
    folder : Path
        Where.

    Returns
    -------
    KeptNames
        Which of them come back.
    """
    accent = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    return KeptNames(
        long=_kept(folder, b"n" * 240),
        accents=_kept(folder, accent.encode(), unicodedata.normalize("NFD", accent).encode()),
        raw=_kept(folder, b"raw\xff"),
        case=_kept(folder, b"case", b"CASE"),
    )


def _kept(folder: Path, *names: bytes) -> bool:
    """Make files, and look whether a folder lists all of them by these names."""
    try:
        for name in names:
            os.close(os.open(os.path.join(os.fsencode(folder), name), os.O_CREAT | os.O_WRONLY))
    except (OSError, ValueError):
        return False
    return set(names) <= set(os.listdir(os.fsencode(folder)))


def names(kept: KeptNames) -> Finding:
    """Judge which names of files come back.

    Parameters
    ----------
    kept : KeptNames
        Which do.

    Returns
    -------
    Finding
        Well: a store's own names are short and plain. Advice where images may get lost.
    """
    if not kept.case:
        found = "a.jpg and A.jpg are one file here"
        return Finding("names", "ok", found, "unpack images that differ so on another disk")
    lacking = [
        words
        for holds, words in (
            (kept.long, "names of 240 letters"),
            (kept.accents, "accents as they were written"),
            (kept.raw, "bytes that are not UTF-8"),
        )
        if not holds
    ]
    if lacking:
        return Finding("names", "ok", f"plain ones; not kept: {', '.join(lacking)}")
    return Finding("names", "ok", "long ones, accents, upper and lower case are kept")


#: Seconds by which two clocks may differ.
SKEW = 60.0


def trials(place: Path) -> list[Finding]:
    """Try everything that a run does to a disk, in a folder that is removed again.

    Parameters
    ----------
    place : Path
        A folder.

    Returns
    -------
    list of Finding
        One a trial; the first alone where nothing can be written.
    """
    try:
        with tempfile.TemporaryDirectory(
            prefix=".dilo-doctor-", dir=place, ignore_cleanup_errors=True
        ) as name:
            folder = Path(name)
            written = _attempt("writing", writing, folder)
            if written.level == "breaks":
                return [written]
            others: list[tuple[str, Callable[[Path], Finding]]] = [
                ("renaming", renaming),
                ("folder flush", folder_flush),
                ("hard links", hard_links),
                ("names", lambda folder: names(kept_names(folder))),
                ("locks", lambda folder: locks(lock_fault(folder / "lock"))),
                ("clocks", lambda folder: clocks(*fresh_time(folder / "fresh"))),
                ("write speed", lambda folder: write_speed(*time_writing(folder / "large"))),
                ("publishing", lambda folder: publishing(time_publishing(folder))),
            ]
            return [written, *(_attempt(check, trial, folder) for check, trial in others)]
    except OSError as error:
        return [_broken("writing", error)]


def _attempt(check: str, trial: Callable[[Path], Finding], folder: Path) -> Finding:
    """Try one thing; what a run cannot do here breaks it."""
    try:
        return trial(folder)
    except OSError as error:
        return _broken(check, error)


def _broken(check: str, error: OSError) -> Finding:
    """Say that a run would end with this error."""
    advice = "a run would end here: mend that, or give a folder on another disk"
    return Finding(check, "breaks", error.strerror or str(error), advice)


def writing(folder: Path) -> Finding:
    """Write a file, flush it and read it again.

    Parameters
    ----------
    folder : Path
        Where.

    Returns
    -------
    Finding
        Breaks where other bytes are read than were written.
    """
    content = os.urandom(100_000)
    write_flushed(folder / "small", content)
    if (folder / "small").read_bytes() == content:
        return Finding("writing", "ok", "a file, flushed, reads as it was written")
    return Finding("writing", "breaks", "a file reads otherwise than it was written", "leave it")


def renaming(folder: Path) -> Finding:
    """Rename a file over another, as every shard is published.

    Parameters
    ----------
    folder : Path
        Where.

    Returns
    -------
    Finding
        Breaks where the new file does not take the other's place.
    """
    write_flushed(folder / "old", b"old")
    write_flushed(folder / "new", b"new")
    (folder / "new").replace(folder / "old")
    if (folder / "old").read_bytes() == b"new" and not (folder / "new").exists():
        return Finding("renaming", "ok", "a new file takes the place of an old one")
    return Finding("renaming", "breaks", "the old file shows after the rename", "leave it")


def folder_flush(folder: Path, flush: Callable[[Path], bool] = flush_folder) -> Finding:
    """Flush a folder's list of names to the disk.

    Parameters
    ----------
    folder : Path
        Which.
    flush : callable
        Does it, and says whether it could.

    Returns
    -------
    Finding
        Well either way.
    """
    if flush(folder):
        return Finding("folder flush", "ok", "works")
    return Finding("folder flush", "ok", "none; after a power cut, run dilo-prep verify")


def hard_links(folder: Path, link: Callable[[Path, Path], None] = os.link) -> Finding:
    """Give a file a second name.

    Parameters
    ----------
    folder : Path
        Where.
    link : callable
        Makes the second name.

    Returns
    -------
    Finding
        Well either way.
    """
    write_flushed(folder / "first", b"")
    try:
        link(folder / "first", folder / "second")
    except OSError as error:
        return Finding("hard links", "ok", f"none ({error.strerror}); a run does without")
    return Finding("hard links", "ok", "work")


def fresh_time(path: Path, clock: Callable[[], float] = time.time) -> tuple[float, float]:
    """Make a file, and ask two clocks.

    Parameters
    ----------
    path : Path
        The file.
    clock : callable
        This machine's.

    Returns
    -------
    float
        When it was made, as the disk says it.
    float
        When it was made, as this machine says it.
    """
    write_flushed(path, b"now")
    return path.stat().st_mtime, clock()


def clocks(disk: float, machine: float) -> Finding:
    """Compare the clock of a disk with this machine's.

    Parameters
    ----------
    disk : float
        Seconds since 1970.
    machine : float
        The same moment.

    Returns
    -------
    Finding
        Breaks where an image changed after its mask was made could look older than the mask.
    """
    skew = disk - machine
    if abs(skew) <= SKEW:
        return Finding("clocks", "ok", f"the disk's and this machine's differ by {abs(skew):.1f} s")
    found = f"the disk's is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    advice = "images changed since their masks were made may not be noticed: set both by NTP"
    return Finding("clocks", "breaks", found, advice)
