"""Read masks of a store in each way that MaskStore offers: one JSON line.

    python benchmarks/reading.py --store DIR

The yardstick is h5py's own `file["masks"][row]` on an open shard, in the same run. Microseconds a
mask, the best of three rounds; from the page cache, so disks play no part.
"""

import argparse
import json
import pickle
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np

from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.plan import shard_path

ROUNDS = 3
BATCH = 256


def microseconds(read: Callable[[], object], masks: int) -> float:
    """Time some reads, and say how long each mask took."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        read()
        best = min(best, time.perf_counter() - begin)
    return round(best / masks * 1e6, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    store = MaskStore(parser.parse_args().store)
    count = len(store)
    order = np.random.default_rng(0).permutation(count)
    batches = [order[first : first + BATCH] for first in range(0, count, BATCH)]
    with h5py.File(shard_path(store.folder, 0), locking=False, rdcc_nbytes=0) as file:
        masks = file["masks"]
        yardstick = microseconds(lambda: [masks[row] for row in range(len(masks))], len(masks))
    found = {
        "one by one": microseconds(lambda: [store[i] for i in range(count)], count),
        "iterated": microseconds(lambda: [None for _ in store], count),
        f"shuffled batches of {BATCH}": microseconds(
            lambda: [store.batch(batch) for batch in batches], count
        ),
    }
    record = {
        "benchmark": "reading",
        "masks": count,
        "size": store.plan.size,
        "microseconds_a_mask": found,
        "yardstick_microseconds": yardstick,
        "ratio": {name: round(value / yardstick, 2) for name, value in found.items()},
        "pickled_bytes": len(pickle.dumps(store)),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("h5py", "isal", "numpy")},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
