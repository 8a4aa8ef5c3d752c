"""Time the finding of a million images, and weigh it: one JSON line.

    python benchmarks/finding.py [--names 1000000] [--folders 1000] [--rounds 3]

The yardstick is os.walk over the same tree of empty files, in the same run and as warm. The peak
is of a process that does nothing else, over what it takes to import; once with all names and once
with a tenth, so that the difference is what a name takes.
"""

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from dilo.pipeline.images.listing import find_images
from dilo.pipeline.images.names import Names

#: Names looked up.
LOOKED_UP = 10_000


def make_tree(root: Path, names: int, folders: int) -> Path:
    """Make empty files, named as ImageNet's are."""
    for number in range(folders):
        folder = root / f"n{number:08d}"
        folder.mkdir(parents=True)
        for image in range(number, names, folders):
            os.close(os.open(folder / f"{folder.name}_{image}.JPEG", os.O_CREAT | os.O_WRONLY))
    return root


def seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def peak() -> float:
    """Most memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def growth(root: Path) -> float:
    """Memory in MB that finding takes over importing, in a process of its own."""
    command = [sys.executable, __file__, "--alone", str(root)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--folders", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        before = peak()
        find_images(options.alone)
        print(peak() - before)
        return
    with tempfile.TemporaryDirectory() as temporary:
        tenth = make_tree(Path(temporary) / "tenth", options.names // 10, options.folders)
        root = make_tree(Path(temporary) / "whole", options.names, options.folders)
        # First, while this process is small: a child's peak starts at its parent's.
        memory = growth(root), growth(tenth)
        found, walked = [], []
        for _ in range(options.rounds):
            walked.append(seconds(lambda: sum(len(files) for *_, files in os.walk(root))))
            found.append(seconds(lambda: find_images(root)))
        names = find_images(root)
        file = Path(temporary) / "images.txt"
        file.write_text(names.text(), encoding="utf-8", newline="\n")
        read = seconds(lambda: Names.read(file).digest())
    chosen = [names[i] for i in random.Random(0).choices(range(len(names)), k=LOOKED_UP)]
    table = seconds(lambda: names.index(chosen[0]))
    walk, find = statistics.median(walked), statistics.median(found)
    result = {
        "measured": f"find_images, {options.names} names in {options.folders} folders",
        "seconds": round(find, 2),
        "ratio": round(find / walk, 2),
        "yardstick": "os.walk over the same tree",
        "yardstick_seconds": round(walk, 2),
        "peak_mb": {"all": round(memory[0], 1), "tenth": round(memory[1], 1)},
        "bytes_a_name": round((memory[0] - memory[1]) * 1e6 / (0.9 * options.names)),
        "list_bytes_a_name": round(len(names.text()) / len(names), 1),
        "read_and_digest_seconds": round(read, 2),
        "table_seconds": round(table, 2),
        "microseconds_a_lookup": round(
            1e6 * seconds(lambda: [names.index(name) for name in chosen]) / LOOKED_UP, 1
        ),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), "numpy": version("numpy")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
