"""The shards that one process holds open, and the masks read out of them by any of its threads."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from dilo.pipeline.plan import shard_path
from dilo.pipeline.shards import open_shard, reading

#: Open files a process; a quarter of the usual limit of 1024 for all of it.
MAX_OPEN = 256


class Handles:
    """Shards that are open in this process, the one read longest ago first.

    Parameters
    ----------
    folder : Path
        The store.
    fingerprint : str
        Digest of its plan.

    Attributes
    ----------
    process : int
        Whose they are. A child of a fork makes its own: inherited ones share their
        state, and perhaps a lock that is held, with the parent's.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.process = os.getpid()
        self._folder = folder
        self._fingerprint = fingerprint
        self._open: OrderedDict[int, _Masks] = OrderedDict()
        # HDF5 serves one thread at a time anyway; this lock also keeps a handle from being
        # closed while another thread reads by it.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def masks(self, shard: int, rows: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Read some masks of a shard.

        Parameters
        ----------
        shard : int
            Its number.
        rows : sequence of int
            Its rows, increasing.

        Yields
        ------
        ndarray of shape (S, S), uint8
            The mask of each row, read only.

        Raises
        ------
        StoreError
            If the shard is missing or damaged.
        """
        with reading(shard_path(self._folder, shard)):
            with self._lock:
                found = self._masks(shard)
                if found.direct:
                    chunks = [found.masks.id.read_direct_chunk((row, 0, 0)) for row in rows]
                else:
                    chunks = [(True, mask) for mask in found.masks[list(rows)]]
            for plain, chunk in chunks:
                # HDF5's own gzip takes twice as long, and other threads wait for it.
                content = chunk if plain else isal_zlib.decompress(chunk)
                yield np.frombuffer(content, np.uint8).reshape(found.shape)

    def _masks(self, shard: int) -> "_Masks":
        """Open a shard's masks, or find them open."""
        if shard not in self._open:
            file = open_shard(shard_path(self._folder, shard), self._fingerprint)
            self._open[shard] = _Masks(file["masks"])
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)[1].masks.file.close()
        self._open.move_to_end(shard)
        return self._open[shard]


class _Masks:
    """The masks of an open shard, and whether a chunk is a mask, gzip and no more.

    So `write_shard` lays them out; a program that packs a file anew may do otherwise.
    """

    def __init__(self, masks: h5py.Dataset) -> None:
        self.masks = masks
        self.shape: tuple[int, int] = masks.shape[1:]
        filters = masks.id.get_create_plist().get_nfilters()
        self.direct = masks.chunks == (1, *self.shape) and masks.compression == "gzip"
        self.direct &= filters == 1
