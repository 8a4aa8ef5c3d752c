"""Where a user's programs keep what they can make again."""

import contextlib
import os
import tempfile
from pathlib import Path


def cache_folder(name: str) -> Path | None:
    """Make a folder of this user for what can be made again; None where there can be none.

    It lies in the user's cache; where that cannot be written, among temporary files.
    """
    for choose in (home_cache, temporary_cache):
        # RuntimeError: this user has no home.
        with contextlib.suppress(OSError, RuntimeError):
            base = choose()
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = base / name
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK | os.X_OK):
                return folder
    return None


def home_cache() -> Path:
    """Name this program's folder in the user's cache: in XDG_CACHE_HOME if absolute, or ~/.cache.

    Raises `RuntimeError` where this user has no home.
    """
    variable = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(variable) if os.path.isabs(variable) else Path.home() / ".cache") / "dilo"


def temporary_cache() -> Path:
    """Name this program's folder in the machine's folder for temporary files.

    Raises `OSError` where there is none.
    """
    folder = tempfile.gettempdir()
    variables = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    if folder in ("/tmp", "/var/tmp", "/usr/tmp", *(os.path.abspath(n) for n in variables if n)):
        return Path(folder) / f"dilo-{os.getuid()}"
    # Python's last resort is the current folder: a data set may bring what would be run.
    raise OSError("no folder for temporary files can be written")
