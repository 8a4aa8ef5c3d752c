"""What a file system really does: files made, flushed, read again and renamed in a folder."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from dilo.pipeline.common.disk import write_flushed
from dilo.pipeline.doctor.report import Finding
from dilo.pipeline.doctor.speed import publishing, time_publishing, time_writing, write_speed


def run_trials(parent: Path) -> list[Finding]:
    """Try everything that a run does to a disk, in a folder that is removed again."""
    try:
        with tempfile.TemporaryDirectory(
            prefix=".dilo-doctor-", dir=parent, ignore_cleanup_errors=True
        ) as name:
            folder = Path(name)
            writable = _attempt("writing", writing, folder)
            if writable.level == "breaks":
                return [writable]
            trials: list[tuple[str, Callable[[Path], Finding]]] = [
                ("renaming", renaming),
                ("write speed", lambda folder: write_speed(*time_writing(folder / "large"))),
                ("publishing", lambda folder: publishing(time_publishing(folder))),
            ]
            return [writable, *(_attempt(check, trial, folder) for check, trial in trials)]
    except OSError as error:
        return [_failure("writing", error)]


def _attempt(check: str, trial: Callable[[Path], Finding], folder: Path) -> Finding:
    """Try one thing; what a run cannot do here breaks it."""
    try:
        return trial(folder)
    except OSError as error:
        return _failure(check, error)


def _failure(check: str, error: OSError) -> Finding:
    """Report that a run would end with this error."""
    advice = "a run would fail here: fix that, or give a folder on another disk"
    return Finding(check, "breaks", error.strerror or str(error), advice)


def writing(folder: Path) -> Finding:
    """Write a file, flush it and read it again."""
    content = os.urandom(100_000)
    write_flushed(folder / "small", content)
    if (folder / "small").read_bytes() == content:
        return Finding("writing", "ok", "a flushed file reads back as it was written")
    return Finding(
        "writing", "breaks", "a flushed file does not read back as it was written", "leave it"
    )


def renaming(folder: Path) -> Finding:
    """Rename a file over another, as every shard is published."""
    write_flushed(folder / "old", b"old")
    write_flushed(folder / "new", b"new")
    (folder / "new").replace(folder / "old")
    if (folder / "old").read_bytes() == b"new" and not (folder / "new").exists():
        return Finding("renaming", "ok", "a rename replaces the old file")
    return Finding("renaming", "breaks", "the old file is still there after a rename", "leave it")
