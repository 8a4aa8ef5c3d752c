"""A folder of images, as a source of them."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from stat import S_ISREG

from dilo.pipeline.errors import require_access
from dilo.pipeline.images.decoding import read_file
from dilo.pipeline.images.listing import count_images, find_images, is_nonempty_folder
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.source import ImageSource

#: Levels by which a folder may lie above or below the right one.
_MAX_LEVELS = 3
#: Folders in a folder that are looked into.
_MAX_FOLDERS = 1000


class FolderSource(ImageSource):
    """Image files below a folder, at any depth."""

    def find(
        self,
        include: Iterable[str] = (),
        *,
        on_progress: Callable[[int], object] | None = None,
        say: Callable[[str], object] | None = None,
    ) -> Names:
        """List the image files, as `find_images` does."""
        return find_images(self.path, include, on_progress=on_progress, say=say)

    def read(self, name: str) -> bytes:
        """Read a file."""
        return read_file(self.path / name)

    def size(self, name: str) -> int:
        """Return the bytes of a regular file; -1 of a folder, and of what is not there."""
        return file_size(self.path / name)

    def has(self, name: str) -> bool:
        """Check whether there is a file, or a link, by a name."""
        return lexists(self.path / name)

    def open_error(self, name: str) -> OSError | None:
        """Return why a file cannot be opened; None if it can."""
        return _open_error(self.path / name)

    def may_differ(self, name: str, size: int, since: float) -> bool:
        """Check whether a file has other bytes than once, or was written since."""
        status = os.stat(self.path / name)
        return status.st_size != size or (size != 0 and status.st_mtime > since)

    def count(self, seconds: float) -> int | None:
        """Count the image files, if that is soon done."""
        return count_images(self.path, seconds)

    def lost(self, name: str) -> Path | None:
        """Return the folder of an image, if it is gone or empty."""
        folder = (self.path / name).parent
        return None if is_nonempty_folder(folder) else folder

    def whereabouts(self, name: str) -> str:
        """Suggest what to do where the folder lacks an image of a store: it may be a level off."""
        return whereabouts(self.path, name)


def file_size(path: Path) -> int:
    """Return the bytes of a regular file; -1 of a folder, and of what is not there."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return -1
    return status.st_size if S_ISREG(status.st_mode) else -1


def lexists(image: Path) -> bool:
    """Check whether there is a file, or a link, by a name."""
    try:
        os.lstat(image)
    except OSError as error:
        require_access(error, image)
        return False
    return True


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
