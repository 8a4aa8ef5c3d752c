"""Read a store of backgrounds: by position, from any process, forked, spawned or pickled."""

import itertools
import operator
from collections.abc import Iterable
from pathlib import Path
from typing import Any, SupportsIndex, cast

import h5py
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dilo.pipeline.backgrounds.recipe import Kind
from dilo.pipeline.errors import StoreError
from dilo.pipeline.store.backgroundrows import Box
from dilo.pipeline.store.plan import shard_path
from dilo.pipeline.store.reader import ShardStore
from dilo.pipeline.store.shardfile import damage_as_store_error, reading_shard
from dilo.pipeline.store.status import require_complete


class _Shard:
    """An open shard: where its JPEGs are, and which windows of which images they hold."""

    def __init__(self, file: h5py.File) -> None:
        self.jpeg = file["jpeg"]
        self.offsets, self.source, self.box = (
            file[name][:].tolist() for name in ("offsets", "source", "box")
        )

    def content(self, row: int) -> bytes:
        """Read a JPEG."""
        jpeg: bytes = self.jpeg[self.offsets[row] : self.offsets[row + 1]].tobytes()
        return jpeg


class BackgroundStore(ShardStore[_Shard]):
    """The backgrounds that `dilo-prep backgrounds` cached, image by image.

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
        If the folder is no store of backgrounds, or not a whole one, or holds none.

    Examples
    --------
    ``BackgroundStore("crops")[7]`` is an (h, w, 3) uint8 array, its shorter side at most
    ``BackgroundStore("crops").plan.size``.
    """

    holds = "backgrounds"

    def __init__(self, folder: Path | str) -> None:
        super().__init__(folder)
        require_complete(self.folder, self.plan, str(folder))
        # A few bytes a shard, which travel with the object: to open all takes seconds.
        counts = [self._count(shard) for shard in range(self.plan.shards)]
        self._starts: NDArray[np.int64] = np.cumsum([0, *counts])
        if not len(self):
            raise StoreError(
                f"{folder} must hold backgrounds, got none: dilo-prep status {folder} says why"
            )

    @property
    def kind(self) -> Kind:
        """Return of what the backgrounds are.

        Returns
        -------
        {"crops", "textures", "images"}
            As `dilo-prep backgrounds --kind` was told.
        """
        return cast("Kind", self.plan.method)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __repr__(self) -> str:
        images = self.plan.images
        return f"BackgroundStore({str(self.folder)!r}: {len(self)} {self.kind} of {images} images)"

    def __getitem__(self, index: SupportsIndex) -> NDArray[np.uint8]:
        """Read one background.

        Parameters
        ----------
        index : int
            Its position, negative from the end.

        Returns
        -------
        ndarray of shape (h, w, 3), uint8
            Red, green and blue.

        Raises
        ------
        IndexError
            If there are fewer.
        StoreError
            If its shard is damaged.
        """
        return self.batch([index])[0]

    def batch(self, indices: Iterable[SupportsIndex]) -> list[NDArray[np.uint8]]:
        """Read some backgrounds, opening each shard once and reading it from front to end.

        Parameters
        ----------
        indices : sequence of int
            Positions, in any order, and again if you like.

        Returns
        -------
        list of ndarray of shape (h, w, 3), uint8
            In the order asked. One that is asked for again is the same array.

        Raises
        ------
        IndexError
            If there are fewer.
        StoreError
            If a shard is damaged.
        """
        locations = [self._locate(index) for index in indices]
        pixels: dict[tuple[int, int], NDArray[np.uint8]] = {}
        for shard, group in itertools.groupby(sorted(set(locations)), operator.itemgetter(0)):
            rows = [row for _, row in group]
            with self._open_shards().reading(shard) as reader:
                jpegs = [reader.content(row) for row in rows]
            with damage_as_store_error(
                shard_path(self.folder, shard)
            ):  # HDF5's lock is free meanwhile
                for row, jpeg in zip(rows, jpegs, strict=True):
                    pixels[shard, row] = simplejpeg.decode_jpeg(jpeg, "RGB")
        return [pixels[location] for location in locations]

    def source(self, index: SupportsIndex) -> str:
        """Find which image a background was cut from.

        Parameters
        ----------
        index : int
            Its position.

        Returns
        -------
        str
            The image's path, as `names` has it.

        Raises
        ------
        IndexError
            If there are fewer.
        StoreError
            If its shard is damaged.
        """
        shard, row = self._locate(index)
        with self._open_shards().reading(shard) as reader:
            image: int = reader.source[row]
        return self.names[self.plan.rows(shard)[image]]

    def box(self, index: SupportsIndex) -> Box:
        """Find which window of its image a background is.

        Parameters
        ----------
        index : int
            Its position.

        Returns
        -------
        (int, int, int, int)
            Top, left, height and width, in pixels of the image.

        Raises
        ------
        IndexError
            If there are fewer.
        StoreError
            If its shard is damaged.
        """
        shard, row = self._locate(index)
        with self._open_shards().reading(shard) as reader:
            top, left, height, width = reader.box[row]
        return top, left, height, width

    def _count(self, shard: int) -> int:
        """Count the backgrounds of a shard."""
        with reading_shard(self.folder, self.plan, shard) as file:
            return len(file["source"])

    def _locate(self, index: SupportsIndex) -> tuple[int, int]:
        """Find shard and row of a background."""
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(
                f"{self.folder} has positions 0 to {len(self) - 1}, got position {position}"
            )
        position %= len(self)
        shard = int(np.searchsorted(self._starts, position, side="right")) - 1
        return shard, position - int(self._starts[shard])

    @staticmethod
    def _wrap(file: h5py.File) -> Any:
        """Read by its JPEGs."""
        return _Shard(file)
