"""Whether files can be locked; dilo never asks, other readers of a shard may."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from dilo.pipeline.doctor.finding import Finding

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
