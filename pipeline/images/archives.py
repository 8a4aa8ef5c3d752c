"""Images in archives: a tar, a folder of tars, a tar of tars, a zip. Read by offset.

The index (`archiveindex`) says where each image lies. It is made once: kept in a cache of this
user, and beside a store that is made of the images, for other machines.
"""

import contextlib
import errno
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from dilo.pipeline.common.cachefolder import cache_folder
from dilo.pipeline.common.files import size_and_time
from dilo.pipeline.errors import DiloError, ImageError, require_access
from dilo.pipeline.images.archivebytes import Archive, read_at, read_packed
from dilo.pipeline.images.archiveindex import (
    DEFLATED,
    INDEX,
    RAW,
    REASONS,
    Index,
    Listing,
    archives_digest,
    make_index,
)
from dilo.pipeline.images.archivekinds import HEAD, archive_kind
from dilo.pipeline.images.decoding import require_readable_size
from dilo.pipeline.images.listing import ImageCounter, matching, none_found, unread_note
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.source import ImageSource, read_from
from dilo.pipeline.images.tars import list_tar
from dilo.pipeline.images.zips import inflate, list_zip, require_checksum

#: Folders named where an archive holds no image in the one that was asked for.
_NAMED = 5


class ArchiveSource(ImageSource):
    """Images in one archive, or in those of a folder.

    Parameters
    ----------
    path : Path
        What the user named: an archive, a folder in one, or a folder of archives.
    root : Path
        The archive, or the folder of archives.
    files : sequence of str
        Archives of the folder; of a single archive, an empty name.
    inner : str, default ""
        Folder in the archive, with a slash behind it; names are relative to it.
    store : Path, optional
        A store of the images, which may have the index.
    """

    def __init__(
        self,
        path: Path,
        root: Path,
        files: Sequence[str],
        inner: str = "",
        store: Path | None = None,
    ) -> None:
        super().__init__(path)
        self._root, self._files, self._inner, self._store = root, tuple(files), inner, store
        self._digest = archives_digest(self._files, [_stat(self._archive(f)) for f in self._files])
        self._opened: Index | None = None
        self._archives: list[Archive] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArchiveSource) and (
            (self.path, self._digest) == (other.path, other._digest)
        )

    def __hash__(self) -> int:
        return hash((super().__hash__(), self._digest))

    def absolute(self) -> Self:
        """Return it for a process in another folder."""
        paths = self.path.absolute(), self._root.absolute()
        store = None if self._store is None else self._store.absolute()
        return type(self)(*paths, self._files, self._inner, store)

    def find(
        self,
        include: Iterable[str] = (),
        *,
        on_progress: Callable[[int], object] | None = None,
        say: Callable[[str], object] | None = None,
    ) -> Names:
        """List the images, as those of the extracted folder."""
        index = self._index(on_progress)
        names = index.names
        if self._inner:
            start = len(self._inner)
            names = Names(name[start:] for name in names if name.startswith(self._inner))
        note = unread_note(index.unread)
        if not names:
            raise none_found(self.path, note or self._folders_note(index))
        if say is not None and note:
            say(f"{self.path}: {note}")
        return matching(names, list(include), f"in {self.path}")

    def read(self, name: str) -> bytes:
        """Read an image from its archive."""
        index = self._index()
        row = index.row(self._inner + name)
        if row < 0:
            raise ImageError(os.strerror(errno.ENOENT), errno.ENOENT)
        kind = index.kind.item(row)
        if kind in REASONS:
            raise ImageError(REASONS[kind])
        size = index.size.item(row)
        require_readable_size(size)
        archive, place = self._archives[index.archive.item(row)], index.offset.item(row)
        stored, read = index.stored.item(row), read_at if kind == RAW else read_packed
        content = read_from(archive.path, name, lambda: read(archive, place, stored))
        if kind == RAW:
            return content
        if kind == DEFLATED:
            content = inflate(content, size)
        require_checksum(content, index.crc.item(row))
        return content

    def size(self, name: str) -> int:
        """Return the bytes of an image file; -1 if there is none."""
        index = self._index()
        row = index.row(self._inner + name)
        return -1 if row < 0 else int(index.size[row])

    def may_differ(self, name: str, size: int, since: float) -> bool:
        """Check whether an image has other bytes than once, or its archive was written since."""
        if (error := self.open_error(name)) is not None:
            raise error
        index = self._index()
        row = index.row(self._inner + name)
        written = int(index.file_time[index.archive[row]]) / 1e9
        return int(index.size[row]) != size or (size != 0 and written > since)

    def labels(self, names: Names) -> Sequence[str] | None:
        """Return the class of each image, if a .cls file beside each names it."""
        index = self._index()
        if not len(index.labels):
            return None
        rows = [index.row(self._inner + name) for name in names]
        numbers = [-1 if row < 0 else int(index.label[row]) for row in rows]
        return None if min(numbers, default=-1) < 0 else [index.labels[n] for n in numbers]

    def lost(self, name: str) -> Path | None:
        """Return the archives, if they are gone."""
        return None if self._root.exists() else self._root

    def whereabouts(self, name: str) -> str:
        """Suggest what to do where there is no image of a store: it may be a level off."""
        index = self._index()
        if self._inner and index.row(name) >= 0:
            return f"the store was made of the whole archive: give {self._root}"
        for folder in self._folders(index):
            if index.row(f"{self._inner}{folder}/{name}") >= 0:
                return f"the store was made of a folder in it: give {self.path / folder}"
        return super().whereabouts(name)

    def keep(self, store: Path) -> None:
        """Keep the index beside a store, unless it is there."""
        index = self._index()
        self._store = store
        if Index.load(store / INDEX, self._digest) is None:
            index.save(store / INDEX)

    def _archive(self, file: str) -> Path:
        """Return the path of an archive."""
        return self._root / file if file else self._root

    def _folders(self, index: Index) -> list[str]:
        """List the folders at the top of what is read."""
        start = len(self._inner)
        names = (name[start:] for name in index.names if name.startswith(self._inner))
        return list(dict.fromkeys(name.partition("/")[0] for name in names if "/" in name))

    def _folders_note(self, index: Index) -> str:
        """Name the folders that an archive has instead of the one that was asked for."""
        folders = dict.fromkeys(name.partition("/")[0] for name in index.names if "/" in name)
        named = ", ".join(map(escaped, list(folders)[:_NAMED]))
        return f"folders in {self._root}: {named}" if self._inner and named else ""

    def _index(self, on_progress: Callable[[int], object] | None = None) -> Index:
        """Return the index: that of this process, of a file, or a new one."""
        if self._opened is None:
            key = str(self._root.absolute()), self._digest
            with _LOCK:
                if key not in _INDEXES:
                    _INDEXES[key] = self._load() or self._make(ImageCounter(on_progress))
                    while len(_INDEXES) > _MAX_INDEXES:
                        _INDEXES.popitem(last=False)
                index = _INDEXES[key]
            columns = index.file_size.tolist(), index.file_time.tolist()
            paths = [str(self._archive(file)) for file in self._files]
            self._archives = [Archive(*fields) for fields in zip(paths, *columns, strict=True)]
            self._opened = index  # last: another thread takes it for a sign that all is there
        return self._opened

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "_archives": []}

    def _load(self) -> Index | None:
        """Read the index from beside the store, or from the cache."""
        for file in (self._store and self._store / INDEX, self._cache_file()):
            if file is not None and (index := Index.load(file, self._digest)) is not None:
                return index
        return None

    def _cache_file(self) -> Path | None:
        """Name the file of the index in this user's cache; None where there can be no cache."""
        folder = cache_folder("images")
        name = hashlib.sha256(os.fsencode(self._root.absolute())).hexdigest()[:32]
        return None if folder is None else folder / f"{name}.npz"

    def _list(self, file: str, counter: ImageCounter) -> Listing:
        """List the images of an archive."""
        listing = _list(self._archive(file), counter)
        if file:  # one of several
            listing.place("", Path(file).stem)
        return listing

    def _make(self, counter: ImageCounter) -> Index:
        """List the archives, and keep the index in the cache, if that can be written."""
        listings, stats = [], []
        for file in self._files:
            path = self._archive(file)
            state = _stat(path)
            listings.append(self._list(file, counter))
            stats.append(state)
            if _stat(path) != state:
                raise DiloError(_being_written(path))
        index = make_index(self._files, listings, stats, f"--images {self._root}")
        if index.digest() != self._digest:
            raise DiloError(_being_written(self._root))
        cached = self._cache_file()
        if cached is not None:
            with contextlib.suppress(OSError):  # a full disk: the next process makes it again
                index.save(cached)
        return index


#: Indexes of this process, by where the archives are and their digest.
_INDEXES: OrderedDict[tuple[str, str], Index] = OrderedDict()
_MAX_INDEXES: Final = 8
_LOCK = threading.Lock()


def _renew_lock() -> None:
    """Give a process that was forked a lock that no thread of its parent holds."""
    global _LOCK
    _LOCK = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def _stat(path: Path) -> tuple[int, int]:
    """Return the bytes of an archive, and when it was written."""
    return size_and_time(path, "must be an archive of images:")


def _list(path: Path, counter: ImageCounter) -> Listing:
    """List the images of an archive."""
    try:
        with path.open("rb") as file:
            kind = archive_kind(path, file.read(HEAD))
            file.seek(0)
            return (list_zip if kind == "zip" else list_tar)(file, str(path), counter)
    except OSError as error:
        require_access(error, path)
        raise DiloError(f"{path} must be readable, got: {error}") from error


def _being_written(path: Path) -> str:
    """Write that archives changed while they were listed."""
    return (
        f"{path} must stay as it is while it is listed, but it was written to: run the same "
        "command when it is complete"
    )
