"""What a disk has left, and where a path that need not exist would lie on it."""

import os
from pathlib import Path


def nearest_existing(path: Path) -> Path:
    """Find a path, or the nearest of its parents that exists; absolute, links followed."""
    path = Path(os.path.realpath(path))  # unlike resolve(), at ease with links in a circle
    # os.path.exists is false, and no error, where a folder above may not be searched.
    return next(ancestor for ancestor in (path, *path.parents) if os.path.exists(ancestor))


def free_space(folder: Path) -> tuple[int, int | None]:
    """Return how many bytes this user may still write, and files; None if those are not counted."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize, status.f_favail if status.f_files else None


def write_flushed(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def gigabytes(count: float) -> str:
    """Write a number of bytes for people.

    Examples
    --------
    >>> gigabytes(64_000_000), gigabytes(13e9)
    ('64 MB', '13.0 GB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
