"""The commit that the running code is of, where it runs from a checkout."""

import subprocess
from pathlib import Path


def commit(file: Path = Path(__file__)) -> str | None:
    """Name the commit of the checkout that a source file belongs to.

    Parameters
    ----------
    file : Path, optional
        One of dilo's own unless given.

    Returns
    -------
    str or None
        Its hash, with "+changes" if tracked files differ from it. None where git is missing or
        does not know the file, as in an installed package, whatever checkout it may lie in.
    """
    file = file.resolve()
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    # With every tag excluded, this is the hash, in full.
    return _git(
        file.parent, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"
    )


def _git(folder: Path, *words: str) -> str | None:
    """Ask git; None if it cannot answer in ten seconds."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
