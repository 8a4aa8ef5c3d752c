"""What a file system really does: files made, flushed, renamed, linked and dated in a folder."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dilo.pipeline.atomic import flush_folder
from dilo.pipeline.doctor.disk import write_flushed
from dilo.pipeline.doctor.finding import Finding
from dilo.pipeline.doctor.lock import lock_fault, locks
from dilo.pipeline.doctor.names import kept_names, names
from dilo.pipeline.doctor.speed import publishing, time_publishing, time_writing, write_speed

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
