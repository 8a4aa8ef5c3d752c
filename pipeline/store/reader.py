"""What the readers of every kind of store share: its list, its open shards, its columns."""

import contextlib
import errno
import os
import resource
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import AccessError, StoreError
from dilo.pipeline.images.names import Names
from dilo.pipeline.store.layouts import layout_of
from dilo.pipeline.store.plan import Plan, load_names, shard_path
from dilo.pipeline.store.shardfile import damage_as_store_error, open_shard, reading_shard

#: What is read by, of an open shard.
Shard = TypeVar("Shard")
#: Open files a process; a quarter of the usual limit of 1024 for all of it.
MAX_OPEN = 256
_EXHAUSTED = (errno.EMFILE, errno.ENFILE)


def _max_open() -> int:
    """Choose how many files to hold open: a quarter of what this process may, at least one."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MAX_OPEN if limit == resource.RLIM_INFINITY else max(1, min(MAX_OPEN, limit // 4))


class OpenShards(Generic[Shard]):
    """Shards that are open in this process, the one read longest ago first.

    Parameters
    ----------
    folder : Path
        The store.
    plan : Plan
        Its plan.
    fingerprint : str
        Digest of that.
    wrap : callable
        From the file of a shard to what its rows are read by.

    Attributes
    ----------
    process : int
        Whose they are. A child of a fork makes its own: inherited ones share their
        state, and perhaps a lock that is held, with the parent's.
    """

    def __init__(
        self, folder: Path, plan: Plan, fingerprint: str, wrap: Callable[[h5py.File], Shard]
    ) -> None:
        self.process = os.getpid()
        self._folder = folder
        self._plan = plan
        self._fingerprint = fingerprint
        self._wrap = wrap
        self._open: OrderedDict[int, tuple[h5py.File, Shard]] = OrderedDict()
        # HDF5 serves one thread at a time anyway; this lock also keeps a handle from being
        # closed while another thread reads by it.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    @contextlib.contextmanager
    def reading(self, shard: int) -> Iterator[Shard]:
        """Open a shard for a block that reads from it, and keep other threads away meanwhile.

        Parameters
        ----------
        shard : int
            Its number.

        Yields
        ------
        Shard
            What `wrap` made of its file.

        Raises
        ------
        StoreError
            If the shard is missing or damaged.
        """
        with damage_as_store_error(shard_path(self._folder, shard)), self._lock:
            if shard not in self._open:
                while len(self._open) >= _max_open():
                    self._close_oldest()
                file = self._file(shard)
                self._open[shard] = file, self._wrap(file)
            self._open.move_to_end(shard)
            yield self._open[shard][1]

    def _file(self, shard: int) -> h5py.File:
        """Open a shard; where too many files are open, close those that are held and try again."""
        while True:
            try:
                layout = layout_of(self._plan, shard)
                return open_shard(shard_path(self._folder, shard), self._fingerprint, layout)
            except AccessError as error:
                if error.errno not in _EXHAUSTED or not self._open:
                    raise
                self._close_oldest()

    def _close_oldest(self) -> None:
        """Close the shard that was read longest ago."""
        self._open.popitem(last=False)[1][0].close()


class ShardStore(ABC, Generic[Shard]):
    """A store, read from any process: forked, spawned or pickled.

    Files are opened when first read, once in each process: an object made before a
    fork, or sent to another process, opens its own. Any number of threads may read.

    Parameters
    ----------
    folder : Path or str
        The store.

    Attributes
    ----------
    folder : Path
        The store, as an absolute path.
    plan : Plan
        What it holds.
    fingerprint : str
        Digest of the plan.

    Raises
    ------
    StoreError
        If the folder is no store of this kind.
    """

    #: What the plan calls this kind.
    holds: ClassVar[str]

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).absolute()
        self.plan = Plan.load(self.folder)
        if self.plan.kind != self.holds:
            raise StoreError(
                f"{folder} must be a store of {self.holds}, got kind {self.plan.kind!r}"
            )
        self.fingerprint = self.plan.fingerprint()
        self._names: Names | None = load_names(self.folder, self.plan)
        self._handles: OpenShards[Shard] | None = None

    @property
    def names(self) -> Names:
        """List the images.

        Returns
        -------
        Names
            Their paths, in the order of images.txt; in another process, read anew when
            first asked for.

        Raises
        ------
        StoreError
            If the list is gone or is another one by now.
        """
        if self._names is None:
            self._names = load_names(self.folder, self.plan)
        return self._names

    def column(self, name: str) -> NDArray[Any]:
        """Read one value of every image.

        Parameters
        ----------
        name : {"status", "shape", ...}
            The dataset, one that has a row an image.

        Returns
        -------
        ndarray of shape (N, ...)
            In the order of images.txt.

        Raises
        ------
        StoreError
            If a shard is missing or damaged.
        """
        return self.columns(name)[0]

    def columns(self, *names: str, shards: Iterable[int] | None = None) -> list[NDArray[Any]]:
        """Read several values of every image, opening each shard once.

        Parameters
        ----------
        *names : {"status", "shape", ...}
            The datasets.
        shards : iterable of int, optional
            Only the images of these.

        Returns
        -------
        list of ndarray of shape (N, ...)
            One for each name, in the order of images.txt.

        Raises
        ------
        StoreError
            If a shard is missing or damaged.
        """
        parts = []
        for shard in range(self.plan.shards) if shards is None else shards:
            with reading_shard(self.folder, self.plan, shard) as file:
                parts.append([file[name][:] for name in names])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def values(self, positions: NDArray[np.int64], *names: str) -> list[NDArray[Any]]:
        """Read several values of some images, opening each of their shards once.

        Parameters
        ----------
        positions : ndarray of shape (B,), int64
            Of the images, from 0; at least one.
        *names : {"status", "shape", ...}
            The datasets.

        Returns
        -------
        list of ndarray of shape (B, ...)
            One for each name, in the order asked.

        Raises
        ------
        StoreError
            If a shard is missing or damaged.
        """
        size = self.plan.shard_size
        shards, ranks = np.unique(positions // size, return_inverse=True)
        rows = ranks * size + positions % size
        return [column[rows] for column in self.columns(*names, shards=shards.tolist())]

    # No method of the object: handles that knew it would keep files open when it is gone.
    @staticmethod
    @abstractmethod
    def _wrap(file: h5py.File) -> Any:
        """Make of the file of a shard what its rows are read by."""

    def _open_shards(self) -> OpenShards[Shard]:
        """Return the shards that are open in this very process."""
        shards = self._handles
        if shards is None or shards.process != os.getpid():
            shards = self._handles = OpenShards(
                self.folder, self.plan, self.fingerprint, self._wrap
            )
        return shards

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_names": None, "_handles": None}
