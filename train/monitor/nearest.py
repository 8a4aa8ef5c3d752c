"""The nearest rows of a matrix of any size, read a chunk at a time."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize

#: Bytes of queries, and of their neighbours, that are on the device at once.
MAX_BYTES = 2**31


class Matrix(Protocol):
    """A matrix of shape (M, D) that is read some rows at a time: a Tensor, or one in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return rows and columns."""

    def __len__(self) -> int:
        """Count the rows."""

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Read the rows of a slice, whose step is 1."""


def nearest(
    bank: Matrix,
    queries: Matrix,
    *,
    k: int,
    chunk: int = 4096,
    device: torch.device | None = None,
    max_bytes: int = MAX_BYTES,
) -> tuple[Tensor, Tensor]:
    """Find the rows of the bank with the largest cosine similarity to each query.

    Parameters
    ----------
    bank : Matrix of shape (M, D), float32
        Features, not necessarily normalised; each chunk goes to the device when it is its turn.
    queries : Matrix of shape (Q, D), float32
        Features, not necessarily normalised.
    k : int
        Neighbours of each query, between 1 and M.
    chunk : int, default 4096
        Rows of queries, and of the bank, compared at once.
    device : torch.device, optional
        Where to compute; by default where `queries` are.
    max_bytes : int, default 2**31
        Bytes of queries, and of what is found for them, that are on the device during one walk
        through the bank; at least a chunk of queries is.

    Returns
    -------
    similarities : Tensor of shape (Q, k), float32
        Cosines, largest first, on `device`; equal ones in the order of their rows.
    rows : Tensor of shape (Q, k), int64
        Rows of `bank`, on `device`.

    Raises
    ------
    ValueError
        If `k` or `chunk` is out of its range.

    Notes
    -----
    The bank is read ceil(Q (4 D + 12 k) / `max_bytes`) times, from its first row to its last: once
    for all queries of ImageNet's validation set in 2048 dimensions. On the device are at most
    `max_bytes` bytes, 8 `chunk` D of the bank, and of comparisons 21 `chunk` ** 2 and 100 `chunk`
    k; besides, the 12 Q k of the result. None of it grows with M.

    Products are of full float32, whatever autocast and TF32 are set to. Chunks and devices sum
    them in another order, so that cosines differ in the last bit.
    """
    if not 1 <= k <= len(bank):
        raise ValueError(f"k must be between 1 and {len(bank)}, the rows of bank, got {k}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    if device is None:
        device = queries.device if isinstance(queries, Tensor) else torch.device("cpu")
    at_once = max(chunk, max_bytes // (4 * queries.shape[1] + 12 * k))
    with _full_float32(device):
        results = []
        for first in range(0, len(queries), at_once):
            last = min(first + at_once, len(queries))
            starts = range(first, last, chunk)
            blocks = [normalize(queries[s : min(s + chunk, last)].to(device)) for s in starts]
            results += _best_rows(bank, blocks, k, chunk)
    return torch.cat([block[0] for block in results]), torch.cat([block[1] for block in results])


@contextlib.contextmanager
def _full_float32(device: torch.device) -> Iterator[None]:
    """Turn off what rounds products to fewer bits."""
    previous = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False), torch.no_grad():
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = previous


def _best_rows(
    bank: Matrix, blocks: list[Tensor], k: int, chunk: int
) -> list[tuple[Tensor, Tensor]]:
    """Walk through the bank once, and keep for each block of queries the best k so far."""
    best = [
        (block.new_empty((len(block), 0)), block.new_empty((len(block), 0), dtype=torch.int64))
        for block in blocks
    ]
    for start in range(0, len(bank), chunk):
        rows = normalize(bank[start : start + chunk].to(blocks[0].device))
        for i, block in enumerate(blocks):
            best[i] = _merge(*best[i], block @ rows.T, start, k)
    return best


def _merge(
    best: Tensor, rows: Tensor, similarities: Tensor, start: int, k: int
) -> tuple[Tensor, Tensor]:
    """Merge a chunk, whose rows come after all those before, into the best k."""
    larger = _above_least(similarities, best[:, -1:], k) if best.shape[1] == k else None
    values, columns = larger or _largest(similarities, min(k, similarities.shape[1]))
    merged = torch.cat([best, values], 1).sort(dim=1, descending=True, stable=True)
    places = merged.indices[:, :k]
    rows = torch.cat([rows, columns + start], 1).gather(1, places)
    return merged.values[:, :k].contiguous(), rows


def _above_least(similarities: Tensor, least: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """Select what exceeds the least of the best, soon a few of a chunk; None if more than k do.

    In the order of columns, -inf in rows that have fewer.
    """
    exceeding = similarities > least
    counts = _count(exceeding)
    width = int(counts.amax())
    if width > k:
        return None
    queries, hits = exceeding.nonzero(as_tuple=True)
    places = torch.arange(len(queries), device=counts.device)
    places -= (counts.cumsum(0) - counts)[queries]
    values = similarities.new_full((len(counts), width), -torch.inf)
    columns = hits.new_zeros((len(counts), width))
    values[queries, places], columns[queries, places] = similarities[queries, hits], hits
    return values, columns


def _largest(similarities: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Select the largest values of each row, of equal ones the first; in the order of columns."""
    values, columns = similarities.topk(count)
    # Which of equal values topk takes is not said, so where some are left out, sort.
    tied = _count(similarities >= values[:, -1:]) > count
    if bool(tied.any()):
        ordered = similarities[tied].sort(dim=1, descending=True, stable=True)
        values[tied], columns[tied] = ordered.values[:, :count], ordered.indices[:, :count]
    columns, places = columns.sort(1)
    return values.gather(1, places), columns


def _count(mask: Tensor) -> Tensor:
    """Count what is true in each row; in int32, ten times as fast as in int64."""
    return mask.sum(1, dtype=torch.int32)
