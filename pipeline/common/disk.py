"""What a disk has left, and where a path that need not exist would lie on it."""

import os
from pathlib import Path


def nearest(path: Path) -> Path:
    """Find what there is of a path."""
    path = Path(os.path.realpath(path))  # unlike resolve(), at ease with links in a circle
    # os.path.exists is false, and no error, where a folder above may not be searched.
    return next(place for place in (path, *path.parents) if os.path.exists(place))


def free_space(place: Path) -> tuple[int, int | None]:
    """Ask what this user may still write."""
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None


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
