"""Which names of files a file system keeps."""

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from dilo.pipeline.doctor.finding import Finding


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
