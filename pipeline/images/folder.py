"""Whether a folder of images is the one that a store was made of: looked at before all else."""

import os
from collections.abc import Sequence
from pathlib import Path

from dilo.pipeline.errors import StoreError, require_access
from dilo.pipeline.images.names import escaped

#: Images that are looked for: the first of the list, and others spread over it.
FIRST, SPREAD = 8, 24
#: Levels by which a folder may lie above or below the right one.
_MAX_LEVELS = 3
#: Folders in a folder that are looked into.
_MAX_FOLDERS = 1000


def lexists(image: Path) -> bool:
    """Check whether there is a file, or a link, by a name."""
    try:
        os.lstat(image)
    except OSError as error:
        require_access(error, image)
        return False
    return True


def can_open(image: Path) -> bool:
    """Check whether a file is there and may be read."""
    return _open_error(image) is None


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
    positions = sorted({*first, *spread})
    missing = [position for position in positions if not lexists(images / names[rows[position]])]
    if 2 * len(missing) > len(positions) or set(first) <= set(missing):
        name = names[rows[missing[0]]]
        raise StoreError(
            f"{option} {images} must hold the images of the store, but {escaped(name)} and "
            f"{len(missing) - 1} more of {len(positions)} checked are missing; nothing was "
            f"changed: {whereabouts(images, name)}"
        )


def require_any(images: Path, names: Sequence[str], option: str = "--images") -> int:
    """Refuse a folder in which none of some images can be opened, and count those that cannot."""
    errors = [error for name in names if (error := _open_error(images / name)) is not None]
    if len(errors) == len(names):
        path = images / names[0]
        require_access(errors[0], path)
        first = escaped(names[0])
        rest = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise StoreError(
            f"{option} {images} must hold the images to be shown, got no {first}{rest}: "
            f"{whereabouts(images, names[0])}"
        )
    return len(errors)


def _open_error(image: Path) -> OSError | None:
    """Return why a file cannot be opened; None if it can."""
    try:
        os.close(os.open(image, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.with_traceback(None)  # whose frames would keep all that the caller holds
    return None


def whereabouts(images: Path, name: str) -> str:
    """Suggest what to do where a folder lacks an image of a store: it may be a level off."""
    parts, folder = name.split("/"), images.resolve()
    for levels in range(1, min(len(parts), _MAX_LEVELS + 1)):
        parent = folder.parents[levels - 1] if levels <= len(folder.parents) else folder
        if folder.parts[-levels:] == tuple(parts[:levels]) and (parent / name).exists():
            return f"the store was made of a folder above this one: give {parent}"
    for child in _folders_in(images):
        if (child / name).exists():
            return f"the store was made of a folder in this one: give {child}"
    return "is it the folder that the store was made of, and is its disk mounted?"


def _folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder, in order; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            paths = [
                Path(entry.path) for _, entry in zip(range(_MAX_FOLDERS), entries, strict=False)
            ]
    except OSError:
        return []
    return sorted(path for path in paths if path.is_dir())
