"""Classify by nearest neighbours out of an HDF5 file, against plain torch in memory: one JSON line.

    python benchmarks/knn.py
    python benchmarks/knn.py --bank 1281167 --width 2048 --queries 50000 --device cuda --disk DIR

The yardstick is one product and one topk a chunk of queries with all of the bank at once, of the
same normalised rows, in memory and on the device, in the same run; where the bank does not fit
there, give --no-yardstick. Seconds are the best of --rounds; the file is in the page cache as far
as memory goes. Peak memory is that of a process of its own, in bytes: of the device, and of the
process above what it had before.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dilo.eval.features.features import Features
from dilo.eval.features.file import open_features, write_features
from dilo.eval.features.provenance import FeatureSource
from dilo.pipeline.images.names import Names
from dilo.train.monitor.knn import knn_accuracy
from dilo.train.monitor.nearest import nearest

CLASSES = 1000
CHUNK = 4096
KIB = 1024


class DrawnRows:
    """A matrix that is drawn as it is asked for: rows around the centres of their classes."""

    def __init__(self, rows: int, width: int, seed: int) -> None:
        self.shape, self._seed = (rows, width), seed

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Draw some rows, the same whenever they are asked for in the same slices."""
        first, last, _ = rows.indices(len(self))
        generator = torch.Generator().manual_seed(self._seed + first)
        noise = torch.randn(last - first, self.shape[1], generator=generator)
        centres = torch.randn(CLASSES, self.shape[1], generator=torch.Generator().manual_seed(0))
        return noise + 0.1 * centres[torch.arange(first, last) % CLASSES]


def write(path: Path, rows: int, width: int, seed: int) -> None:
    """Write a file of features of nothing."""
    source = FeatureSource("none", "0" * 64, None, 224, "rgb", "pooled", "none", "fp32")
    names = Names(str(i) for i in range(rows))
    labels = torch.arange(rows) % CLASSES
    classes = tuple(map(str, range(CLASSES)))
    drawn = DrawnRows(rows, width, seed)
    write_features(
        path, Features(Path("/none"), drawn, labels, classes, names, (), "0" * 64, source)
    )


def plain(bank: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Do what anyone would, with all of the bank on the device."""
    found = [(block @ bank.T).topk(k) for block in queries.split(CHUNK)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def seconds(run: Callable[[], tuple[Tensor, ...]], device: torch.device, rounds: int) -> float:
    """Take the best of some rounds, the device's work included."""
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        found = run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        del found
        best = min(best, time.perf_counter() - begin)
    return best


def vote(folder: Path, k: int, device: torch.device, send: Any) -> None:
    """Classify from the files, in a process of its own, and tell accuracy and peak memory."""
    bank, queries = open_features(folder / "bank.h5"), open_features(folder / "queries.h5")
    torch.zeros(1, device=device)  # what a device takes by itself
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    begin = time.perf_counter()
    (found,) = knn_accuracy(
        bank.vectors,
        bank.labels,
        queries.vectors,
        queries.labels,
        ks=[k],
        temperature=0.07,
        classes=CLASSES,
        device=device,
    )
    taken = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    send.send(
        {
            "top1": round(found.top1, 2),
            "seconds": round(taken, 2),
            "process_bytes": after - before,
            "device_bytes": peak,
        }
    )


def measured(folder: Path, k: int, device: torch.device) -> Any:
    """Run `vote` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=vote, args=(folder, k, device, send))
    process.start()
    send.close()
    found = receive.recv()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bank", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--k", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--disk", type=Path, help="where the files lie for the while")
    parser.add_argument("--no-yardstick", action="store_true", help="the bank does not fit")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    with tempfile.TemporaryDirectory(dir=asked.disk) as name:
        folder = Path(name)
        write(folder / "bank.h5", asked.bank, asked.width, 1)
        write(folder / "queries.h5", asked.queries, asked.width, 2)
        whole = measured(folder, asked.k, device)
        bank = open_features(folder / "bank.h5").vectors
        queries = open_features(folder / "queries.h5").vectors

        def ours() -> tuple[Tensor, Tensor]:
            return nearest(bank, queries, k=asked.k, device=device)

        ours_seconds = seconds(ours, device, asked.rounds)
        yardstick = None
        if not asked.no_yardstick:
            rows = [normalize(part[:].to(device)) for part in (bank, queries)]
            yardstick = seconds(lambda: plain(*rows, asked.k), device, asked.rounds)
            same = (plain(*rows, asked.k)[1] == ours()[1]).float().mean().item()
    record = {
        "benchmark": "knn",
        "bank": [asked.bank, asked.width],
        "queries": asked.queries,
        "k": asked.k,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "seconds": round(ours_seconds, 2),
        "yardstick_seconds": yardstick and round(yardstick, 2),
        "ratio": yardstick and round(ours_seconds / yardstick, 2),
        "same_neighbours": yardstick and round(same, 6),
        "file_bytes": 4 * asked.bank * asked.width,
        "whole": whole,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "h5py", "numpy")},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
