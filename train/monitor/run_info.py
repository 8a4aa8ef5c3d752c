"""What a run leaves to read beside its numbers: its recipe, and what it ran on."""

import dataclasses
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import torch
import torchvision

from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.compute.workercount import usable_cores
from dilo.train.monitor.metrics import METRICS
from dilo.train.recipes import recipe_text
from dilo.train.recipes.recipe import RunRecipe


def git_commit(file: Path = Path(__file__)) -> str | None:
    """Find the commit of the checkout that a source file belongs to.

    Returns its hash, with "+changes" if tracked files differ from it. None where git is missing
    or does not know the file, as in an installed package, whatever checkout it may lie in.
    """
    file = file.resolve()
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    # With every tag excluded, this is the hash, in full.
    return _git(
        file.parent, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"
    )


def _git(folder: Path, *arguments: str) -> str | None:
    """Run git and return its output; None if it fails, or takes over ten seconds."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


RUN_INFO = "run.json"
#: What a run that began has left, whatever became of its checkpoints.
RECORDS = (METRICS, RUN_INFO, "recipe.toml")
#: What each start of a run may have of its own, and keeps in run.json.
START_KEYS = ("time", "step", "device", "world_size", "precision", "commit", "argv")


def read_run_info(run: Path) -> dict[str, Any]:
    """Read run.json; empty where there is none, or none that can be read."""
    try:
        facts = read_json(run / RUN_INFO)
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def note_failure(run: Path, error: BaseException) -> None:
    """Write into run.json, if it is there, why a run ended."""
    if facts := read_run_info(run):
        reason = str(error).partition("\n")[0]
        facts["failure"] = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "what": f"{type(error).__name__}: {reason}".removesuffix(": "),
        }
        write_text(run / RUN_INFO, json.dumps(facts, indent=2) + "\n")


def write_run_info(run: Path, recipe: RunRecipe, facts: dict[str, Any]) -> None:
    """Write recipe.toml and run.json beside the results.

    Notes
    -----
    run.json tells of the latest start, and under ``starts``, shortly, of every one.
    """
    write_text(run / "recipe.toml", recipe_text(recipe))
    # Of the modules, not of the distributions: OpenCV comes under four names.
    modules = {m.__name__: str(m.__version__) for m in (torch, torchvision, np, cv2, PIL)}
    info = facts | {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": sys.argv,
        "commit": git_commit(),
        "versions": {"dilo": version("dilo")} | modules,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
    }
    starts = read_run_info(run).get("starts", [])
    start = {key: info[key] for key in START_KEYS if key in info}
    info["starts"] = [*starts, start] if isinstance(starts, list) else [start]
    info["recipe"] = dataclasses.asdict(recipe)
    write_text(run / RUN_INFO, json.dumps(info, indent=2) + "\n")
