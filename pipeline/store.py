"""Read a store of masks: by position or by path, from any process, forked, spawned or pickled."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import StoreError
from dilo.pipeline.plan import Plan, load_names, shard_path
from dilo.pipeline.shards import FAILED, open_shard

#: Open files a process; a third of the usual limit of 1024 for all of it.
MAX_OPEN = 256


class MaskStore:
    """The masks that `dilo-prep masks` cached, in the order of images.txt.

    Files are opened when first read, once in each process: an object made before a
    fork, or sent to another process, opens its own.

    Parameters
    ----------
    folder : Path or str
        The store.

    Raises
    ------
    StoreError
        If the folder is no store of masks.

    Examples
    --------
    ``MaskStore("masks")["n01440764/n01440764_10026.JPEG"]`` is an (S, S) uint8 array,
    to be resized to the image before use: masks are of the image squashed to a square.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.plan = Plan.load(self.folder)
        if self.plan.kind != "masks":
            raise StoreError(f"{folder} must be a store of masks, got kind {self.plan.kind!r}")
        self.names = load_names(self.folder, self.plan)
        self.fingerprint = self.plan.fingerprint()
        self._positions: dict[str, int] | None = None
        self._open: OrderedDict[int, h5py.File] = OrderedDict()
        self._process = os.getpid()

    def __len__(self) -> int:
        return self.plan.images

    def __getitem__(self, key: int | str) -> NDArray[np.uint8]:
        """Read one mask.

        Parameters
        ----------
        key : int or str
            Position in images.txt, or path as it stands there.

        Returns
        -------
        ndarray of shape (S, S), uint8
            Saliency, 0 to 255; all zero for an image that failed.
        """
        index = self.position(key) if isinstance(key, str) else range(len(self))[key]
        shard, row = divmod(index, self.plan.shard_size)
        return cast("NDArray[np.uint8]", self._file(shard)["masks"][row])

    def position(self, path: str) -> int:
        """Find an image's row.

        Parameters
        ----------
        path : str
            Relative POSIX path, as in images.txt.

        Returns
        -------
        int
            Its position.

        Raises
        ------
        KeyError
            If the store has no such image.
        """
        if self._positions is None:
            self._positions = {name: i for i, name in enumerate(self.names)}
        return self._positions[path]

    def column(self, name: str) -> NDArray[Any]:
        """Read one value of every image.

        Parameters
        ----------
        name : {"status", "coverage", "shape"}
            The dataset.

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

    def columns(self, *names: str) -> list[NDArray[Any]]:
        """Read several values of every image, opening each shard once.

        Parameters
        ----------
        *names : {"status", "coverage", "shape"}
            The datasets.

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
        for shard in range(self.plan.shards):
            with open_shard(shard_path(self.folder, shard), self.fingerprint) as file:
                parts.append([file[name][:] for name in names])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def failed(self) -> NDArray[np.bool_]:
        """Tell which images could not be read.

        Returns
        -------
        ndarray of shape (N,), bool
            True where there is no mask.
        """
        return cast("NDArray[np.bool_]", self.column("status") == FAILED)

    def _file(self, shard: int) -> h5py.File:
        """Open a shard, or find it open in this very process."""
        if self._process != os.getpid():
            # Handles inherited through a fork share their state with the parent's: let
            # go of them without closing, and open anew.
            self._open, self._process = OrderedDict(), os.getpid()
        if shard not in self._open:
            self._open[shard] = open_shard(shard_path(self.folder, shard), self.fingerprint)
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(shard)
        return self._open[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict(), "_positions": None, "_process": -1}
