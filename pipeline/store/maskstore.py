"""Read a store of masks: by position or by path, from any process, forked, spawned or pickled."""

import itertools
import operator
from collections.abc import Iterable, Iterator
from typing import SupportsIndex, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.store.maskrows import decompress_mask, is_direct
from dilo.pipeline.store.plan import shard_path
from dilo.pipeline.store.reader import ShardStore
from dilo.pipeline.store.rows import FAILED
from dilo.pipeline.store.shardfile import damage_as_store_error

#: A position in images.txt, negative from the end, or a path as it stands there.
Key = SupportsIndex | str


class _ShardMasks:
    """The masks of an open shard, and whether a chunk is a mask, gzip and no more.

    So `write_shard` lays them out; a program that packs a file anew may do otherwise.
    """

    def __init__(self, file: h5py.File) -> None:
        self.masks = masks = file["masks"]
        self.shape: tuple[int, int] = masks.shape[1:]
        self.direct = is_direct(masks)


class MaskStore(ShardStore[_ShardMasks]):
    """The masks that `dilo-prep masks` cached, in the order of images.txt.

    Files are opened when first read, once in each process: an object made before a
    fork, or sent to another process, opens its own. Any number of threads may read.
    It is a data set for torch's DataLoader as it is, which then fetches a batch at once.

    Attributes
    ----------
    folder : Path
        The store, as an absolute path; given as a Path or a str.
    plan : Plan
        What it holds.
    fingerprint : str
        Digest of the plan.

    Raises
    ------
    StoreError
        If the folder is no store of masks.

    Examples
    --------
    ``MaskStore("masks")["n01440764/n01440764_10026.JPEG"]`` is an (S, S) uint8 array,
    to be resized to the image before use: masks are of the image squashed to a square.
    ``torch.from_numpy(MaskStore("masks").batch(range(32)))`` is 32 of them.
    """

    holds = "masks"

    def __len__(self) -> int:
        return self.plan.images

    def __repr__(self) -> str:
        plan = self.plan
        size = f"{plan.size} x {plan.size}"
        return f"MaskStore({str(self.folder)!r}: {plan.images} masks of {size}, {plan.method})"

    def __contains__(self, path: object) -> bool:
        try:
            return isinstance(path, str) and self.position(path) >= 0
        except KeyError:
            return False

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[position] for position in range(len(self)))

    def items(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Go through the store.

        Returns
        -------
        iterator of (str, ndarray of shape (S, S), uint8)
            Path and mask of each image, in order.
        """
        return zip(self.names, self, strict=True)

    def __getitem__(self, key: Key | slice) -> NDArray[np.uint8]:
        """Read one mask, or those of a slice.

        Parameters
        ----------
        key : int, str or slice
            Position in images.txt, negative from the end, or path as it stands there.
            What indexes a list will do: numpy's integers, a tensor of no dimension.

        Returns
        -------
        ndarray of shape (S, S) or (B, S, S), uint8
            Saliency, 0 to 255; all zero for an image that failed.

        Raises
        ------
        IndexError, KeyError
            If the store has no such image.
        StoreError
            If its shard is missing or damaged.
        """
        if isinstance(key, slice):
            return self.batch(key)
        shard, row = divmod(self._index(key), self.plan.shard_size)
        (mask,) = self._read_masks(shard, [row])
        return mask.copy()

    def __getitems__(self, keys: Iterable[Key]) -> list[NDArray[np.uint8]]:
        """Read the samples of a batch, as torch's DataLoader asks for them."""
        return list(self.batch(keys))

    def batch(self, keys: Iterable[Key] | slice) -> NDArray[np.uint8]:
        """Read some masks, opening each shard once and reading it from front to end.

        Parameters
        ----------
        keys : sequence of int or str, ndarray of shape (B,), int, or slice
            Positions and paths, in any order, and again if you like.

        Returns
        -------
        ndarray of shape (B, S, S), uint8
            Their masks, in the order asked.

        Raises
        ------
        IndexError, KeyError
            If the store has no such image.
        StoreError
            If a shard is missing or damaged.
        """
        positions = self._positions(keys)
        masks = np.empty((len(positions), self.plan.size, self.plan.size), np.uint8)
        order = np.argsort(positions, kind="stable")
        distinct, starts = np.unique(positions[order], return_index=True)
        batch_rows = np.split(order, starts[1:])  # of each mask in the batch
        pairs = zip(distinct.tolist(), batch_rows, strict=False)
        size = self.plan.shard_size
        for shard, group in itertools.groupby(pairs, lambda pair: pair[0] // size):
            group_positions, targets = zip(*group, strict=True)
            rows = [position % size for position in group_positions]
            for target, mask in zip(targets, self._read_masks(shard, rows), strict=True):
                masks[target] = mask
        return masks

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
        try:
            return self.names.index(path)
        except ValueError:
            raise KeyError(
                f"{self.folder} must have a mask of {path!r}, got no such name"
            ) from None

    def _index(self, key: Key) -> int:
        """Return the position, from 0, that a key means."""
        if isinstance(key, str):
            return self.position(key)
        try:
            index = operator.index(key)
        except TypeError:
            index = None
        if index is None or isinstance(key, bool):
            raise TypeError(
                f"a key must be a position or a path, got {key!r}: batch() takes several"
            )
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"{self.folder} has positions 0 to {len(self) - 1}, got position {index}"
            )
        return index % len(self)

    def _positions(self, keys: Iterable[Key] | slice) -> NDArray[np.int64]:
        """Return the positions, from 0, that keys mean."""
        if isinstance(keys, str):
            raise TypeError(f"keys must be several, got the one path {keys!r}: ask for [path]")
        if isinstance(keys, slice):
            return np.arange(*keys.indices(len(self)))
        # A tensor gives its numbers only one by one, as tensors, or all at once as an array.
        key_list = np.asarray(keys).tolist() if hasattr(keys, "__array__") else keys
        return np.array([self._index(key) for key in key_list], np.int64)

    def failed(self) -> NDArray[np.bool_]:
        """Return which images could not be read.

        Returns
        -------
        ndarray of shape (N,), bool
            True where there is no mask.
        """
        return cast("NDArray[np.bool_]", self.column("status") == FAILED)

    @staticmethod
    def _wrap(file: h5py.File) -> _ShardMasks:
        """Wrap the masks of a shard."""
        return _ShardMasks(file)

    def _read_masks(self, shard: int, rows: list[int]) -> Iterator[NDArray[np.uint8]]:
        """Read some masks of a shard, whose rows increase; they cannot be written to."""
        with self._open_shards().reading(shard) as opened:
            if opened.direct:
                chunks = [opened.masks.id.read_direct_chunk((row, 0, 0)) for row in rows]
            else:
                chunks = [(1, mask) for mask in opened.masks[rows]]
        with damage_as_store_error(shard_path(self.folder, shard)):
            for filter_mask, chunk in chunks:
                yield decompress_mask(filter_mask, memoryview(chunk).cast("B"), opened.shape)
