"""Where a user's programs keep what they can make again."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def cache_folder(name: str) -> Path | None:
    """Make a folder of this user for what can be made again; None where there can be none.

    It lies in XDG_CACHE_HOME, or ~/.cache; where that cannot be written, among temporary files.
    """
    for base in _bases():
        folder = base / name
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK | os.X_OK):
                return folder
    return None


def _bases() -> Iterator[Path]:
    """Yield the folders that may hold it, the best first."""
    if configured := os.environ.get("XDG_CACHE_HOME"):
        yield Path(configured) / "dilo"
    with contextlib.suppress(RuntimeError):  # this user has no home
        yield Path.home() / ".cache" / "dilo"
    yield Path(tempfile.gettempdir()) / f"dilo-cache-{os.getuid()}"
