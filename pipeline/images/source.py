"""A source of images: what `--images` names. It answers two questions: which names, what content.

`open_images` finds out what a path is and opens it. Whoever reads images holds an `ImageSource`,
and never joins a folder and a name: ``source.find()`` lists the names, ``source.read(name)`` gives
the bytes of a file, ``source.decode(name)`` its pixels.

- Names are those of the folder that one would get by extracting: paths with forward slashes, sorted
  by code point. So plan, masks, draws and losses are the same bytes from a folder and an archive.
- `read` raises `ImageError` where one image is at fault: it becomes a row with a reason. Its
  `errno` is what the system said, if it said anything; then the image may be sound. Where the whole
  source is at fault, such as an archive that was changed, another `DiloError` ends the work.
- A source is small when pickled, and works after fork and spawn and in threads: what it opens, it
  opens where it is first needed, once a process.

To add a kind, write a subclass that has `find`, `read` and `size`, and recognize it in
`open_images`.
"""

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images.decoding import GONE_ERRNOS, Content, decode_content, with_retries
from dilo.pipeline.images.names import Names, escaped


class ImageSource(ABC):
    """Images by name.

    Parameters
    ----------
    path : Path
        What the user named: a folder, or a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self) and isinstance(other, ImageSource) and other.path == self.path
        )

    def __hash__(self) -> int:
        return hash((type(self), self.path))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @abstractmethod
    def find(
        self,
        include: Iterable[str] = (),
        *,
        on_progress: Callable[[int], object] | None = None,
        say: Callable[[str], object] | None = None,
    ) -> Names:
        """List the images, as `find_images` lists those of a folder.

        Parameters
        ----------
        include : iterable of str
            Globs, of which one must match; without any, all images are listed.
        on_progress : callable, optional
            Called now and then with the number of images so far.
        say : callable, optional
            Writes a line for people, on what is passed over.

        Returns
        -------
        Names
            Sorted by code point.

        Raises
        ------
        DiloError
            If there are none, or the source cannot be read.
        """

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read the content of an image file.

        Parameters
        ----------
        name : str
            One of those that `find` lists, or of a list.

        Returns
        -------
        bytes
            Its content, for `decode_content`.

        Raises
        ------
        ImageError
            If this image cannot be read; its `errno` says what the system said.
        DiloError
            If the source as a whole cannot be.
        """

    @abstractmethod
    def size(self, name: str) -> int:
        """Return the bytes of an image file, as an extracted one has them; -1 if there is none."""

    def decode(self, name: str) -> NDArray[np.uint8]:
        """Read an image as RGB.

        Parameters
        ----------
        name : str
            As for `read`.

        Returns
        -------
        ndarray of shape (H, W, 3), uint8
            As `dilo.pipeline.images.decode` gives it.

        Raises
        ------
        ImageError
            If it cannot be read, or is no sound image.
        """
        return decode_content(self.read(name))

    def has(self, name: str) -> bool:
        """Check whether there is something by a name, sound or not."""
        return self.size(name) >= 0

    def open_error(self, name: str) -> OSError | None:
        """Return why an image cannot be opened; None if it can."""
        if self.has(name):
            return None
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.location(name)))

    def may_differ(self, name: str, size: int, since: float) -> bool:
        """Check whether an image may be another than one of so many bytes that was there once.

        `since` is the time of then, in seconds. Raises `OSError` where there is none now.
        """
        if (error := self.open_error(name)) is not None:
            raise error
        return self.size(name) != size or (size != 0 and os.stat(self.path).st_mtime > since)

    def count(self, seconds: float) -> int | None:
        """Count the images, as `find` lists them, if that is soon done; None where it is not."""
        return len(self.find())

    def labels(self, names: Names) -> Sequence[str] | None:
        """Return the class of each image, if the source itself says it of all; else None."""
        return None

    def location(self, name: str) -> Path:
        """Return the path of an image, for messages."""
        return self.path / name

    def lost(self, name: str) -> Path | None:
        """Return what should hold an image, if that is gone as a whole, as with a lost disk."""
        return None

    def whereabouts(self, name: str) -> str:
        """Suggest what to do where an image of a store is missing."""
        return "are they the images that the store was made of, and is their disk mounted?"

    def keep(self, store: Path) -> None:
        """Keep beside a store what other machines need to read the images quickly."""
        return  # nothing, unless a kind says otherwise

    def absolute(self) -> Self:
        """Return it for a process in another folder."""
        return type(self)(self.path.absolute())


def read_from(file: Path | str, name: str, read: Callable[[], Content]) -> Content:
    """Read an image from a file that holds many, again where the error may pass.

    `ImageError` says, as of a file of its own, why the system does not give it; `DiloError`, that
    the file is gone, and all of its images with it.
    """
    try:
        return with_retries(read)
    except OSError as error:
        if error.errno in GONE_ERRNOS:
            raise DiloError(
                f"{file} must hold {escaped(name)!r} of the list of images, got nothing there: is "
                "the disk mounted?"
            ) from error
        raise ImageError(error.strerror or " ".join(str(error).split()), error.errno) from error


def changed_since(file: Path | str) -> DiloError:
    """Make the error of a file of many images that was written to since it was listed."""
    return DiloError(
        f"{file} must stay as it was when its images were listed, but it was written to since: "
        "run the same command again, which lists it anew"
    )


def holds_images(path: Path) -> bool:
    """Check whether a path is a folder or an archive, rather than a file of something else."""
    from dilo.pipeline.images.archivekinds import is_archive

    return path.is_dir() or is_archive(path)


def open_images(
    path: Path | str, store: Path | None = None, *, in_order: bool = False
) -> ImageSource:
    """Open what `--images` names.

    Parameters
    ----------
    path : Path or str
        A folder of images; a tar, a zip, or a folder in one; a folder of tars; images that
        `dilo-prep pack` packed.
    store : Path, optional
        A store of these images, which may keep what is needed to read them quickly.
    in_order : bool, default False
        Whether they are read in the order of their list, as `dilo-prep pack` does: then also
        Parquet, CIFAR and STL-10 are opened.

    Returns
    -------
    ImageSource
        The images.

    Raises
    ------
    DiloError
        If it is none of these, or of a kind that only `dilo-prep pack` reads.
    """
    # Each kind imports this module.
    from dilo.pipeline.images.archivekinds import archives_in, is_packed, split_path
    from dilo.pipeline.images.archives import ArchiveSource
    from dilo.pipeline.images.folder import FolderSource
    from dilo.pipeline.images.packable import find_packable
    from dilo.pipeline.images.packed import open_packed

    path = Path(path)
    if (packable := find_packable(path)) is not None:
        source = packable.open()  # first, for it refuses what is not packed either
        if in_order:
            return source
        raise DiloError(
            f"--images {path} is {packable.kind}, which is read in order, once: run "
            f"dilo-prep pack --images {path} --out PACKED, then give --images PACKED"
        )
    if path.is_dir() and not is_packed(path):
        files = archives_in(path)
        return ArchiveSource(path, path, files, store=store) if files else FolderSource(path)
    if (parts := split_path(path)) is not None:
        archive, inner = parts
        if archive.is_dir():
            return open_packed(path, archive, inner, store)
        return ArchiveSource(path, archive, [""], inner, store)
    return FolderSource(path)  # which says that it is not there
