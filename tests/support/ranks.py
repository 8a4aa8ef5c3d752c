"""Several ranks in one process: threads that tell each other what ranks would."""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

from dilo.train.runtime import distributed


def on_ranks(monkeypatch, count, work):
    """Run `work(rank)` on each of `count` ranks at once; their results in order."""
    local, barrier = threading.local(), threading.Barrier(count, timeout=60)
    told = [None] * count

    def gather(values):
        told[local.rank] = values.detach()
        barrier.wait()
        everyone = torch.cat(told)
        barrier.wait()  # nobody tells the next thing before all have heard this one
        return everyone

    def started(rank):
        local.rank = rank
        try:
            return work(rank)
        except BaseException:
            barrier.abort()
            raise

    with monkeypatch.context() as patch:
        patch.setattr(distributed, "world_size", lambda: count)
        patch.setattr(distributed, "rank", lambda: local.rank)
        patch.setattr(distributed, "all_gather", gather)
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(started, range(count)))
