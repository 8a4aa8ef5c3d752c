"""Make a hundred thousand masks as a user would, and watch the processes: one JSON line.

    python benchmarks/soak.py --images DIR [--count 100000] [--workers 2] [--method rbd]

The images are links to those of DIR, over and over, in folders of a thousand. The yardstick is
one core, by the same command with --workers 1 on a tenth of them, in the same run: the ratio is to
that rate times the number of workers. Peak memory is resident, of the parent and of its largest
worker, when a tenth was done and at the end.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from dilo.pipeline.images.listing import find_images

IMAGENET = 1_281_167
FOLDER = 1_000


def linked(source: Path, folder: Path, count: int) -> Path:
    """Make a folder of links to the images of another, over and over."""
    targets = [(source / name).resolve() for name in find_images(source)]
    for number in range(count):
        below = folder / f"{number // FOLDER:04d}"
        if number % FOLDER == 0:
            below.mkdir(parents=True)
        target = targets[number % len(targets)]
        (below / f"{number:07d}{target.suffix}").symlink_to(target)
    return folder


class Watch:
    """The largest that a program and its workers have been, in bytes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.parent, self.worker, self.most = 0, 0, 0
        self._process = psutil.Process(process.pid)

    def look(self) -> None:
        """Take their sizes now; one that has just ended has none."""
        try:
            self.parent = max(self.parent, self._process.memory_info().rss)
            children = self._process.children(recursive=True)
        except psutil.NoSuchProcess:
            return
        self.most = max(self.most, len(children))
        for child in children:
            try:
                self.worker = max(self.worker, child.memory_info().rss)
            except psutil.NoSuchProcess:
                continue

    def megabytes(self) -> dict[str, float]:
        """Say them in MB."""
        return {
            "parent": round(self.parent / 1e6, 1),
            "largest_worker": round(self.worker / 1e6, 1),
        }


def run(images: Path, store: Path, method: str, workers: int, limit: int) -> dict[str, Any]:
    """Run dilo-prep on the first so many images, and watch it."""
    command = [sys.executable, "-m", "dilo.pipeline", "masks", "--images", str(images)]
    command += ["--out", str(store), "--method", method, "--workers", str(workers)]
    begin = time.perf_counter()
    process = subprocess.Popen([*command, "--limit", str(limit)])
    watch, tenth = Watch(process), None
    shards = None
    while process.poll() is None:
        watch.look()
        if tenth is None and (store / "plan.json").exists():
            plan = json.loads((store / "plan.json").read_text())
            shards = -(-plan["images"] // plan["shard_size"])
            if len(list(store.glob("shard-*.h5"))) >= shards / 10:
                tenth = watch.megabytes()
        time.sleep(0.2)
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise SystemExit(process.returncode)
    size = sum(file.stat().st_size for file in store.iterdir())
    return {
        "images": limit,
        "seconds": round(seconds, 1),
        "rate": limit / seconds,
        "peak_mb_at_a_tenth": tenth,
        "peak_mb_at_the_end": watch.megabytes(),
        "processes_at_most": watch.most,
        "shards": shards,
        "bytes_an_image": round(size / limit),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--method", default="rbd")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="dilo-soak-"))
    try:
        images = linked(arguments.images, root / "images", arguments.count)
        # So that compiling is in neither.
        run(images, root / "first", arguments.method, 1, 100)
        alone = run(images, root / "alone", arguments.method, 1, arguments.count // 10)
        found = run(images, root / "all", arguments.method, arguments.workers, arguments.count)
    finally:
        shutil.rmtree(root)
    core_hours = IMAGENET / alone["rate"] / 3600
    record = {
        "benchmark": "soak",
        "method": arguments.method,
        "workers": arguments.workers,
        **{key: round(value, 1) if key == "rate" else value for key, value in found.items()},
        "rate_of_one_core": round(alone["rate"], 1),
        "ratio": round(found["rate"] / alone["rate"] / arguments.workers, 3),
        "imagenet": {
            "images": IMAGENET,
            "hours": round(IMAGENET / found["rate"] / 3600, 2),
            "core_hours": round(core_hours, 2),
            "gigabytes": round(IMAGENET * found["bytes_an_image"] / 1e9, 1),
        },
        "cores": psutil.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("h5py", "joblib", "numba", "numpy")},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
