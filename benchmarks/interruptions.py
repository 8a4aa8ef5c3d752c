"""Kill training at random moments, and see whether anything of it is lost.

For each method, a run that nobody disturbs, and one that is killed (kill -9 to every process, its
loader's workers too) or told to stop (SIGTERM, SIGUSR1, SIGINT) as often as is asked, each time at
a random moment; then the losses of every step and the last checkpoint are compared bit for bit.

    python benchmarks/interruptions.py --times 3 --ranks 2
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.launching import launch
from support.runs import METHODS_SMALL, SMALL, losses, photographs_and_masks

from dilo.train.engine import checkpoint

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def arguments(method: str, data: Path, run: Path, epochs: int) -> list[str]:
    """Give the command line of a run."""
    words = ["-m", "dilo.train", "--images", data / "images", "--masks", data / "masks"]
    words += ["--recipe", "moco-v2-small", "--out", run, "--workers", 1, "--log-every", 1]
    sets = (*SMALL, f"method={method}", *METHODS_SMALL[method], f"optimizer.epochs={epochs}")
    return [*map(str, words), *(word for key in sets for word in ("--set", key))]


def start(words: list[str], ranks: int) -> list[subprocess.Popen[str]]:
    """Start a run in as many ranks, without words."""
    return launch(words, ranks, output=subprocess.DEVNULL)


def disturb(words: list[str], run: Path, ranks: int, chance: random.Random) -> tuple[str, int]:
    """Start a run, stop it at a random moment, and tell how, and after which step."""
    how = chance.choice(SIGNALS)
    before = len(lines(run))
    processes = start(words, ranks)
    target = before + chance.randint(1, 4)
    while len(lines(run)) < target and all(p.poll() is None for p in processes):
        time.sleep(0.003)
    time.sleep(chance.random() * 0.2)
    told = processes if how == signal.SIGKILL else processes[-1:]
    for process in told:
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            return "none: it was done", len(lines(run))
    statuses = {process.wait() for process in processes}
    return f"{how.name}, exit {sorted(statuses)}", len(lines(run))


def lines(run: Path) -> list[str]:
    """Read the record so far."""
    path = run / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def same(one: Path, other: Path) -> bool:
    """Tell whether two runs ended with the same losses and the same checkpoint, to the last bit."""
    a, b = (checkpoint.load(checkpoint.list_checkpoints(run)[0][1]) for run in (one, other))
    equal = all(
        torch.equal(a["state_dict"][name], b["state_dict"][name]) for name in a["state_dict"]
    )
    return equal and a["dilo"]["step"] == b["dilo"]["step"] and losses(one) == losses(other)


def main() -> None:
    """Run all, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=3, help="interruptions of each run")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--methods", nargs="*", default=list(METHODS_SMALL))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chance, table = random.Random(asked.seed), {}
    folder = Path(tempfile.mkdtemp())
    photographs_and_masks(folder)
    for method in asked.methods:
        whole, cut = folder / f"{method}-whole", folder / f"{method}-cut"
        words = arguments(method, folder, whole, asked.epochs)
        for process in start(words, asked.ranks):
            process.wait()
        words = arguments(method, folder, cut, asked.epochs)
        faults = [disturb(words, cut, asked.ranks, chance) for _ in range(asked.times)]
        for process in start(words, asked.ranks):
            process.wait()
        table[method] = {"interrupted": faults, "same": same(whole, cut)}
        print(f"{method}: {table[method]}", file=sys.stderr, flush=True)
    shutil.rmtree(folder)
    print(json.dumps({"benchmark": "interruptions", "ranks": asked.ranks, "runs": table}))


if __name__ == "__main__":
    main()
