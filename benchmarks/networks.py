"""Time masks by BASNet, from the files to the shards: one JSON line.

    python benchmarks/networks.py --images imagenet-sample --device cuda --precision bf16 --batch 32
    python benchmarks/networks.py --limit 8 --rounds 1    # on a CPU

It runs `dilo-prep masks --method basnet` in one process, with random weights of the published
width (64), at the published side (256): the time does not hang on what a network has learned. The
yardstick is the same network on the same device in the same precision, fed one batch that lies in
memory, over and over, in the same run: nothing is read, decoded, finished or written. So the ratio
tells what feeding costs; "data_wait" is the share of the time in which the device had nothing to
do, as the program says. The two take turns, and of the rounds the medians count; the ratio is of
the rates of one round.

Images are linked again and again until there are --limit; the page cache may hold them. Without
--images it takes scikit-image's own photographs. On a CPU, both compute on one core.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from saliency import sample_jpegs

from dilo.pipeline.images import decode
from dilo.pipeline.images.listing import find_images
from dilo.pipeline.saliency.networkparameters import PRECISIONS, SalientObjectParameters
from dilo.train.runtime.devices import choose_device
from dilo.train.saliency.basnet import BASNet
from dilo.train.saliency.masknetwork import open_basnet

#: Images a shard, as of all stores of more than 64,000.
SHARD = 1000


def linked(options: argparse.Namespace, folder: Path) -> Path:
    """Lay out as many images as are asked for, links to those that there are."""
    if options.images is None:
        (folder / "photographs").mkdir()
        found = sample_jpegs(folder / "photographs")
    else:
        found = [options.images / name for name in find_images(options.images)]
    images = folder / "images"
    images.mkdir()
    for number, path in enumerate(islice(cycle(found), options.limit)):
        (images / f"{number:06d}{path.suffix}").symlink_to(path.absolute())
    return images


def program(
    images: Path, store: Path, weights: Path, options: argparse.Namespace
) -> dict[str, float]:
    """Make a store, and take from what the program says how fast it was and how long it waited."""
    command = [sys.executable, "-m", "dilo.pipeline", "masks", "--method", "basnet", "--json"]
    command += ["--images", str(images), "--out", str(store), "--weights", str(weights)]
    command += ["--device", options.device, "--precision", options.precision, "--workers", "1"]
    command += ["--batch", str(options.batch), "--shard-size", str(SHARD), "--strict"]
    if options.workers:
        command += ["--workers", str(options.workers)]
    cores = {"OMP_NUM_THREADS": "1"} if options.device == "cpu" else {}
    done = subprocess.run(
        command, env=os.environ | cores, stdout=subprocess.PIPE, check=True, text=True
    )
    record = json.loads(done.stdout)
    return {name: record[name] for name in ("images_per_second", "data_wait")}


class Memory:
    """The network, fed from memory."""

    def __init__(self, images: Path, weights: Path, options: argparse.Namespace) -> None:
        parameters = SalientObjectParameters(precision=options.precision)
        self._network = open_basnet(weights, parameters, options.device, None)
        self._paths = [path.name for path in islice(cycle(sorted(images.iterdir())), options.batch)]
        self._seen = np.stack([self._network.prepare(decode(images / p)) for p in self._paths])
        self.rate(0)  # the first batch chooses kernels

    def rate(self, seconds: float) -> float:
        """Compute for a while, one batch at least, and give images a second."""
        batches, start = 0, time.perf_counter()
        while not batches or time.perf_counter() - start < seconds:
            self._network.maps(self._seen, self._paths)
            batches += 1
        return batches * len(self._seen) / (time.perf_counter() - start)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Gather what is printed."""
    torch.manual_seed(0)
    weights = folder / "weights.pth"
    torch.save(BASNet().state_dict(), weights)
    images = linked(options, folder)
    memory = Memory(images, weights, options)
    rows = []
    for turn in range(options.rounds):
        row = program(images, folder / f"store-{turn}", weights, options)
        row |= {"yardstick": memory.rate(options.seconds)}
        rows.append(row | {"ratio": row["images_per_second"] / row["yardstick"]})
        print(f"round {turn + 1}: {rows[-1]}", file=sys.stderr)
    median = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    cuda = options.device == "cuda"
    name = torch.cuda.get_device_name() if cuda else platform.machine()
    return {
        "measured": f"masks by basnet, {options.precision}, batches of {options.batch}, from the "
        "files to the shards, by one process",
        "images_per_second": round(median["images_per_second"], 2),
        "ratio": round(median["ratio"], 3),
        "range": [round(f(row["ratio"] for row in rows), 3) for f in (min, max)],
        "data_wait": round(median["data_wait"], 3),
        "yardstick": "the same network fed one batch from memory, again and again",
        "yardstick_images_per_second": round(median["yardstick"], 2),
        "device": f"{options.device} ({name})",
        "threads": torch.get_num_threads(),
        "images": options.limit,
        "rounds": options.rounds,
        "python": platform.python_version(),
        "versions": {p: version(p) for p in ("torch", "numpy", "opencv-python-headless")},
    }


def options_of() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="folder of images, at any depth")
    parser.add_argument("--limit", type=int, default=1000, help="images to make masks of")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--batch", type=int, help="32 on a GPU, 1 on a CPU, unless given")
    parser.add_argument("--workers", type=int, help="threads of the program; its own choice if not")
    parser.add_argument("--seconds", type=float, default=10.0, help="for the yardstick, a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.device = choose_device(options.device).type
    options.batch = options.batch or (32 if options.device == "cuda" else 1)
    return options


def main() -> None:
    options = options_of()
    if options.device == "cpu":
        torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measure(options, Path(name))))


if __name__ == "__main__":
    main()
