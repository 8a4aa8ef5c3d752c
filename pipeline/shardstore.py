"""What the readers of every kind of store share: its list, its open shards, its columns."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import StoreError
from dilo.pipeline.handles import Handles
from dilo.pipeline.layouts import layout_of
from dilo.pipeline.names import Names
from dilo.pipeline.plan import Plan, load_names, shard_path
from dilo.pipeline.shards import open_shard, reading

Shard = TypeVar("Shard")


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
        self._handles: Handles[Shard] | None = None

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
            path = shard_path(self.folder, shard)
            layout = layout_of(self.plan, shard)
            with reading(path), open_shard(path, self.fingerprint, layout) as file:
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
    def _opened(file: h5py.File) -> Any:
        """Make of the file of a shard what is read by."""

    def _files(self) -> Handles[Shard]:
        """Find this very process's open shards."""
        handles = self._handles
        if handles is None or handles.process != os.getpid():
            handles = self._handles = Handles(
                self.folder, self.plan, self.fingerprint, self._opened
            )
        return handles

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_names": None, "_handles": None}
