"""The making of a shard's rows: what a kind of store says, and whoever builds a shard does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.compute.batches import Batching
from dilo.pipeline.images.names import escaped
from dilo.pipeline.store.maskrows import MaskRows
from dilo.pipeline.store.rows import ImageRows


@dataclass(frozen=True)
class Making:
    """Rows that are still to be made, and how.

    Attributes
    ----------
    rows : ImageRows
        To be filled in place.
    todo : sequence of int
        The rows whose images are to be read, in this order.
    fill : callable
        Fills a row from the content of its image file; where that raises, the row stays blank.
    batching : Batching, optional
        How rows are made several at a time, where that is faster; they come out the same.
    """

    rows: ImageRows
    todo: Sequence[int]
    fill: Callable[[int, bytes], None]
    batching: Batching | None = None


#: From a shard's images, as positions in images.txt and as paths, to the making of their rows.
Maker = Callable[[range, list[str]], Making]
#: From a path of the list and the content of its file to a mask (S, S) and the image's (H, W).
MaskMaker = Callable[[str, bytes], tuple[NDArray[np.uint8], tuple[int, int]]]


def mask_by_mask(make: MaskMaker, size: int) -> Maker:
    """Make the rows of a shard of masks, each of its own image.

    Parameters
    ----------
    make : callable
        Makes one mask.
    size : int
        Side of a mask, in pixels.

    Returns
    -------
    callable
        What makes all of a shard.
    """

    def begin(images: range, paths: list[str]) -> Making:
        rows = MaskRows.blank([escaped(path) for path in paths], size)

        def fill(row: int, content: bytes) -> None:
            rows.masks[row], rows.shape[row] = make(paths[row], content)

        return Making(rows, range(len(paths)), fill)

    return begin
