"""Run on a GPU the tests that need one and each benchmark of it, and write one page: Markdown.

    python benchmarks/gpu_report.py [--out gpu-report.md] [--images DIR] [--only NAME ...]
    python benchmarks/gpu_report.py --toy    # on a CPU, tiny: whether each still runs

Each part is a process of its own with a time limit; one that fails, or takes longer, is a line of
the page, and the others are run. All limits together are under 25 minutes. The page names versions,
device and driver; a figure always stands beside the ratio to its yardstick of the same run. Exits
with 1 if a part did not end well.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from dilo.pipeline.compute.workercount import default_workers, usable_cores
from dilo.train.monitor.run_info import git_commit
from dilo.train.runtime.devices import choose_device, device_name, driver_version

HERE = Path(__file__).resolve().parent
#: Lines of the end of what a part wrote, for the page, where it failed.
TAIL = 15


@dataclass(frozen=True, kw_only=True)
class Part:
    """A process whose last line on standard output is what it found."""

    name: str
    #: What it does, for the page.
    title: str
    #: What Python runs, on a GPU and at toy size.
    full: Sequence[str]
    toy: Sequence[str]
    #: In seconds, on a GPU.
    limit: int
    #: Figures of the JSON line, by their names on the page: keys, joined by dots.
    figures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a part ended."""

    part: Part
    #: Empty if all is well.
    fault: str
    seconds: float
    #: Of the JSON line; empty for the tests.
    record: dict[str, Any]
    #: The last line on standard output, and the end of what was written.
    last: str
    tail: str


def gpu_tests() -> list[str]:
    """Find the files with tests that need a GPU: to collect all others would take a minute."""
    tests = HERE.parent / "tests"
    return sorted(str(path) for path in tests.rglob("test_*.py") if "mark.gpu" in path.read_text())


def bank(rows: int, width: int, queries: int) -> list[str]:
    """Say how many features of what width are compared."""
    sizes = {"--bank": rows, "--width": width, "--queries": queries}
    return [word for option, value in sizes.items() for word in (option, str(value))]


def parts(images: Path | None) -> list[Part]:
    """List what there is to do."""
    workers = str(default_workers(16))
    files = ["--images", str(images)] if images else []
    bench = {name: str(HERE / f"{name}.py") for name in ("train", "augment", "networks", "knn")}
    small = ["--arch", "resnet18", "--size", "32", "--batch", "16", "--workers", "1"]
    brief = ["--seconds", "0.1", "--rounds", "1"]
    train = [bench["train"], "--device", "cuda", "--workers", workers, *files]
    training = {
        "images/s, from files": "images_per_second.real",
        "from memory": "images_per_second.synthetic",
        "plain loop": "images_per_second.plain",
        "ratio to memory": "ratio_to_synthetic",
        "ratio to the plain loop": "ratio",
        "waiting": "waiting_for_the_loader",
    }
    augmenting = {
        "views/s": "views_per_second",
        "ratio": "ratio",
        "share of a step": "share_of_step",
    }
    return [
        Part(
            name="tests",
            title="Tests marked gpu",
            full=["-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", *gpu_tests()],
            toy=["-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", *gpu_tests()],
            limit=420,
        ),
        Part(
            name="train",
            title="A training step, from the files to the optimiser",
            full=[*train, "--paste", "--seconds", "10", "--rounds", "3"],
            toy=[bench["train"], "--device", "cpu", *small, *brief],
            limit=330,
            figures=training,
        ),
        Part(
            name="augment",
            title="Augmentation on the device",
            full=[bench["augment"], "--device", "cuda", "--step"],
            toy=[bench["augment"], "--batch", "16", "--size", "32", "--rounds", "1"],
            limit=150,
            figures=augmenting,
        ),
        Part(
            name="mixture",
            title="Augmentation with textures and crops as backgrounds",
            full=[bench["augment"], "--device", "cuda", "--step", "--backgrounds", "mixture"],
            toy=[bench["augment"], "--batch", "16", "--size", "32", "--rounds", "1"],
            limit=150,
            figures=augmenting,
        ),
        Part(
            name="networks",
            title="Masks by BASNet",
            full=[bench["networks"], "--device", "cuda", "--precision", "bf16", *files],
            toy=[bench["networks"], "--device", "cpu", "--limit", "2", *brief],
            limit=180,
            figures={
                "images/s": "images_per_second",
                "yardstick": "yardstick_images_per_second",
                "ratio": "ratio",
                "waiting": "data_wait",
            },
        ),
        Part(
            name="knn",
            title="Nearest neighbours out of a file",
            full=[bench["knn"], "--device", "cuda", *bank(200_000, 2048, 10_000)],
            toy=[bench["knn"], *bank(500, 16, 50), "--k", "20", "--rounds", "1"],
            limit=180,
            figures={"seconds": "seconds", "yardstick": "yardstick_seconds", "ratio": "ratio"},
        ),
    ]


def run(part: Part, *, toy: bool) -> Outcome:
    """Run a part in a process of its own, which ends with its children when its time is over."""
    begin = time.monotonic()
    folders = [str(HERE), os.environ.get("PYTHONPATH", "")]  # the benchmarks import each other
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, folders))}
    process = subprocess.Popen(
        [sys.executable, *(part.toy if toy else part.full)],
        cwd=HERE.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    fault = ""
    try:
        output, errors = process.communicate(timeout=part.limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        fault = f"stopped after {part.limit} s"
    lines = output.strip().splitlines() or [""]
    if not fault and process.returncode:
        fault = f"ended with status {process.returncode}"
    record: dict[str, Any] = {}
    if part.figures and not fault:
        try:
            record = json.loads(lines[-1])
        except ValueError:
            fault = "printed no JSON"
    tail = "\n".join((output + errors).strip().splitlines()[-TAIL:])
    return Outcome(part, fault, time.monotonic() - begin, record, lines[-1], tail)


def figure(record: dict[str, Any], path: str) -> str:
    """Format a figure of a record; a dash where there is none."""
    value: Any = record
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, int | float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
    return "-"


def page(outcomes: Sequence[Outcome], *, toy: bool) -> str:
    """Write the page."""
    device = torch.device("cpu") if toy else choose_device("cuda")
    place = f"{device_name(device)}, driver {driver_version() or 'none'}, {usable_cores()} cores"
    packages = ", ".join(f"{name} {version(name)}" for name in ("dilo", "torch", "numpy"))
    lines = [
        "# What runs on a GPU, and how fast" + (" (toy sizes: no figure means anything)" * toy),
        "",
        f"{place}; {packages}, CUDA {torch.version.cuda}, Python {platform.python_version()}; "
        f"commit {git_commit() or 'unknown'}; {datetime.now(UTC).date()}.",
        "",
        "| part | result | seconds |",
        "|---|---|---|",
    ]
    for outcome in outcomes:
        figures = outcome.part.figures.items()
        words = ", ".join(f"{name} {figure(outcome.record, key)}" for name, key in figures)
        result = f"**{outcome.fault}**" if outcome.fault else words or outcome.last.strip("= ")
        lines.append(f"| {outcome.part.title} | {result} | {outcome.seconds:.0f} |")
    for outcome in outcomes:
        content = outcome.tail if outcome.fault else json.dumps(outcome.record, indent=1)
        if outcome.fault or outcome.record:
            lines += ["", f"## {outcome.part.title}", "", "```", content, "```"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu-report.md"), help="the page")
    parser.add_argument("--images", type=Path, help="JPEGs; scikit-image's own unless given")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="parts to run; all unless given")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, on the CPU")
    options = parser.parse_args()
    chosen = parts(options.images)
    if options.only:
        unknown = set(options.only) - {part.name for part in chosen}
        if unknown:
            parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
        chosen = [part for part in chosen if part.name in options.only]
    if not options.toy and not torch.cuda.is_available():
        parser.error("there is no GPU that torch can use: give --toy, or see dilo-train doctor")
    outcomes = []
    for part in chosen:
        print(f"{part.title}: at most {part.limit} s", file=sys.stderr)
        outcomes.append(run(part, toy=options.toy))
        # After each: what was measured is there, whatever becomes of the rest.
        options.out.write_text(page(outcomes, toy=options.toy), encoding="utf-8")
    print(options.out)
    sys.exit(1 if any(outcome.fault for outcome in outcomes) else 0)


if __name__ == "__main__":
    main()
