"""A shard of three rows, one of which failed."""

import numpy as np

from dilo.pipeline.images.names import Names
from dilo.pipeline.store.maskrows import MaskRows
from dilo.pipeline.store.plan import Plan

PATHS = ["a/1.jpg", "a/o'brien.jpg", "b/é.png"]


def plan(size: int = 8) -> Plan:
    """Give the plan of a store of that one shard."""
    images = {"shard_size": 3, "images": 3, "digest": Names(PATHS).digest()}
    return Plan(kind="masks", method="noise", parameters={}, size=size, **images)


def rows(side: int = 8) -> MaskRows:
    """Make noise for masks; the second image failed."""
    made = MaskRows.empty(PATHS, side)
    made.masks[:] = np.random.default_rng(0).integers(0, 256, (3, side, side), dtype=np.uint8)
    made.masks[1] = 0
    made.shape[:] = [[4, 5], [0, 0], [900, 3]]
    made.bytes[:] = [1234, 99, 5_000_000_000]
    made.file_crc32[:] = [1, 2, 0xFFFFFFFF]
    made.error[1] = "not an image: häßlich"
    return made
