"""Whether a folder of images is the one that a store was made of: looked at before all else."""

import os
from collections.abc import Sequence
from pathlib import Path

from dilo.pipeline.errors import StoreError, require_access
from dilo.pipeline.images.names import escaped

#: Images that are looked for: the first of the list, and others spread over it.
FIRST, SPREAD = 8, 24
#: Levels by which a folder may lie above or below the right one.
_LEVELS = 3
#: Folders in a folder that are looked into.
_FOLDERS = 1000


def is_there(image: Path) -> bool:
    """Tell whether there is a file, or a link, by a name."""
    try:
        os.lstat(image)
    except OSError as error:
        require_access(error, image)
        return False
    return True


def can_open(image: Path) -> bool:
    """Tell whether a file is there and may be read."""
    return _failure(image) is None


def require_images(
    images: Path,
    names: Sequence[str],
    option: str = "--images",
    *,
    rows: Sequence[int] | None = None,
) -> None:
    """Refuse a folder that is not the one that a store was made of, by some of its images."""
    rows = range(len(names)) if rows is None else rows
    count = len(rows)
    first = range(min(FIRST, count))
    spread = {(2 * i + 1) * count // (2 * SPREAD) for i in range(SPREAD)}
    places = sorted({*first, *spread})
    absent = [place for place in places if not is_there(images / names[rows[place]])]
    if 2 * len(absent) > len(places) or set(first) <= set(absent):
        name = names[rows[absent[0]]]
        raise StoreError(
            f"{option} {images} must hold the images of the store, got {escaped(name)} and "
            f"{len(absent) - 1} more of {len(places)} looked for not there, and nothing was "
            f"changed: {whereabouts(images, name)}"
        )


def require_some(images: Path, names: Sequence[str], option: str = "--images") -> int:
    """Refuse a folder in which none of some images can be opened, and count those that cannot."""
    failures = [error for name in names if (error := _failure(images / name)) is not None]
    if len(failures) == len(names):
        path = images / names[0]
        require_access(failures[0], path)
        first = escaped(names[0])
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise StoreError(
            f"{option} {images} must hold the images to be shown, got no {first}{more}: "
            f"{whereabouts(images, names[0])}"
        )
    return len(failures)


def _failure(image: Path) -> OSError | None:
    """Tell why a file cannot be opened; None if it can."""
    try:
        os.close(os.open(image, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.with_traceback(None)  # whose frames would keep all that the caller holds
    return None


def whereabouts(images: Path, name: str) -> str:
    """Say what to do where a folder lacks an image of a store: it may be a level off."""
    parts, folder = name.split("/"), images.resolve()
    for levels in range(1, min(len(parts), _LEVELS + 1)):
        above = folder.parents[levels - 1] if levels <= len(folder.parents) else folder
        if folder.parts[-levels:] == tuple(parts[:levels]) and (above / name).exists():
            return f"the store was made of a folder above this one: give {above}"
    for below in _folders_in(images):
        if (below / name).exists():
            return f"the store was made of a folder in this one: give {below}"
    return "is it the folder that the store was made of, and is its disk mounted?"


def _folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder, in order; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            paths = [Path(entry.path) for _, entry in zip(range(_FOLDERS), entries, strict=False)]
    except OSError:
        return []
    return sorted(path for path in paths if path.is_dir())
