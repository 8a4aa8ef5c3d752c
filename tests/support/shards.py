"""A shard of three rows, one of which failed."""

import numpy as np

from dilo.pipeline.shards import MaskRows

PATHS = ["a/1.jpg", "a/o'brien.jpg", "b/é.png"]


def rows(side: int = 8) -> MaskRows:
    """Make noise for masks; the second image failed."""
    made = MaskRows.blank(PATHS, side)
    made.masks[:] = np.random.default_rng(0).integers(0, 256, (3, side, side), dtype=np.uint8)
    made.masks[1] = 0
    made.shape[:] = [[4, 5], [0, 0], [900, 3]]
    made.bytes[:] = [1234, 99, 5_000_000_000]
    made.source[:] = [1, 2, 0xFFFFFFFF]
    made.error[1] = "not an image: häßlich"
    return made
