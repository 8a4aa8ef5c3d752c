"""What a run leaves to read: its losses line by line, its recipe, and what it ran on."""

import json
import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import torch
import torchvision

from dilo.pipeline.atomic import write_text
from dilo.train.recipe import Recipe
from dilo.train.recipes import recipe_text

METRICS = "metrics.jsonl"


class Record:
    """The lines of metrics.jsonl, one JSON object a recorded step.

    Parameters
    ----------
    run : Path
        Folder of the run.
    step : int
        Step that the run goes on from. Lines of later steps, which a killed run wrote
        after its last checkpoint, are removed: those steps are taken again.
    """

    def __init__(self, run: Path, step: int) -> None:
        path = run / METRICS
        write_text(path, "".join(line for line, taken in _lines(path) if taken <= step))
        self._file = path.open("a", encoding="utf-8")

    def add(self, values: dict[str, Any]) -> None:
        """Write one line.

        Parameters
        ----------
        values : dict
            ``step`` and what there is to say of it.
        """
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    """Read lines and their steps; a line may be cut short where a kill fell."""
    if path.exists():
        for line in path.read_text("utf-8", errors="replace").splitlines(keepends=True):
            try:
                yield line, int(json.loads(line)["step"])
            except (ValueError, KeyError, TypeError):
                continue


def describe(run: Path, recipe: Recipe, facts: dict[str, Any]) -> None:
    """Write recipe.toml and run.json beside the results.

    Parameters
    ----------
    run : Path
        Folder of the run.
    recipe : Recipe
        Resolved, with every default.
    facts : dict
        What else a reader needs: data, device.
    """
    write_text(run / "recipe.toml", recipe_text(recipe))
    # Of the modules, not of the distributions: OpenCV comes under four names.
    modules = {m.__name__: str(m.__version__) for m in (torch, torchvision, np, cv2, PIL)}
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {"dilo": version("dilo")} | modules,
    }
    write_text(run / "run.json", json.dumps(facts | machine, indent=2) + "\n")
