"""The shards that one process holds open, for any of its threads to read from."""

import contextlib
import errno
import os
import resource
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import h5py

from dilo.pipeline.errors import AccessError
from dilo.pipeline.layouts import layout_of
from dilo.pipeline.plan import Plan, shard_path
from dilo.pipeline.shards import open_shard, reading

#: What is read by, of an open shard.
Shard = TypeVar("Shard")
#: Open files a process; a quarter of the usual limit of 1024 for all of it.
MAX_OPEN = 256
_EXHAUSTED = (errno.EMFILE, errno.ENFILE)


def _most() -> int:
    """Tell how many files to hold open: a quarter of what this process may have, at least one."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MAX_OPEN if limit == resource.RLIM_INFINITY else max(1, min(MAX_OPEN, limit // 4))


class Handles(Generic[Shard]):
    """Shards that are open in this process, the one read longest ago first.

    Parameters
    ----------
    folder : Path
        The store.
    plan : Plan
        Its plan.
    fingerprint : str
        Digest of that.
    opened : callable
        From the file of a shard to what is read by.

    Attributes
    ----------
    process : int
        Whose they are. A child of a fork makes its own: inherited ones share their
        state, and perhaps a lock that is held, with the parent's.
    """

    def __init__(
        self, folder: Path, plan: Plan, fingerprint: str, opened: Callable[[h5py.File], Shard]
    ) -> None:
        self.process = os.getpid()
        self._folder = folder
        self._plan = plan
        self._fingerprint = fingerprint
        self._opened = opened
        self._open: OrderedDict[int, tuple[h5py.File, Shard]] = OrderedDict()
        # HDF5 serves one thread at a time anyway; this lock also keeps a handle from being
        # closed while another thread reads by it.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    @contextlib.contextmanager
    def reading(self, shard: int) -> Iterator[Shard]:
        """Keep other threads away while one reads.

        Parameters
        ----------
        shard : int
            Its number.

        Yields
        ------
        Shard
            What `opened` made of its file.

        Raises
        ------
        StoreError
            If the shard is missing or damaged.
        """
        with reading(shard_path(self._folder, shard)), self._lock:
            if shard not in self._open:
                while len(self._open) >= _most():
                    self._close_oldest()
                file = self._file(shard)
                self._open[shard] = file, self._opened(file)
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
