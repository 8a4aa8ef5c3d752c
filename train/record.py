"""What a run leaves to read: its losses line by line, its recipe, and what it ran on."""

import contextlib
import dataclasses
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
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
from dilo.pipeline.common.textfiles import parse_json, read_bytes, read_json
from dilo.pipeline.compute.workercount import usable_cores
from dilo.train.checkout import commit
from dilo.train.recipes import recipe_text
from dilo.train.sections import Plain

METRICS = "metrics.jsonl"
FACTS = "run.json"
#: What a run that began has left, whatever became of its checkpoints.
RECORDS = (METRICS, FACTS, "recipe.toml")
#: Bytes of the longest record of a training that is read: tens of millions of lines.
MAX_METRICS = 2**32
#: What each start of a run may have of its own, and keeps in run.json.
OF_A_START = ("time", "step", "device", "world_size", "precision", "commit", "argv")


class Meter:
    """What happens between two lines of the record: speed, waiting, pastes.

    Parameters
    ----------
    clock : callable, optional
        Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start()

    def _start(self) -> None:
        """Begin a line."""
        self._begin, self._paused = self._clock(), 0.0
        self._images = self._views = self._pasted = self._skipped = 0
        self._waited = 0.0

    def batch(
        self, images: int, waited_seconds: float, views: int, pasted: int, skipped: int
    ) -> None:
        """Count a batch.

        Parameters
        ----------
        images : int
            Images in it, of all ranks.
        waited_seconds : float
            How long the loader was waited for.
        views : int
            Views that the next two are of.
        pasted : int
            How many of them are pasted on another background.
        skipped : int
            How many were drawn to be pasted and are not, for want of a mask with enough in it.
        """
        self._images += images
        self._waited += waited_seconds
        self._views += views
        self._pasted += pasted
        self._skipped += skipped

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time of what is no training: a checkpoint, a read-out.

        Yields
        ------
        None
            While it lasts.
        """
        begin = self._clock()
        try:
            yield
        finally:
            self._paused += self._clock() - begin

    def line(self) -> dict[str, float]:
        """Tell what happened since the last line, and begin the next.

        Returns
        -------
        dict of str to float
            `images_per_second`; `data_wait`, the share of the time spent waiting for the
            loader; `paste_rate`, the share of views pasted; `skipped_pastes`, a count.
        """
        # A clock may stand still between two looks.
        seconds = max(self._clock() - self._begin - self._paused, 1e-9)
        found = {
            "images_per_second": round(self._images / seconds, 1),
            "data_wait": round(min(self._waited / seconds, 1.0), 4),
            "paste_rate": round(self._pasted / max(self._views, 1), 4),
            "skipped_pastes": self._skipped,
        }
        self._start()
        return found


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
        kept = "".join(
            f"{json.dumps(line)}\n" for line in read_metrics(run) if line["step"] <= step
        )
        write_text(path, kept)
        self._file = path.open("a", encoding="utf-8")

    def add(self, values: dict[str, Any]) -> None:
        """Write one line.

        Parameters
        ----------
        values : dict
            ``step`` and what there is to say of it; a number that is not finite, which JSON
            does not know, becomes null.
        """
        line = {key: value if _is_json(value) else None for key, value in values.items()}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _is_json(value: object) -> bool:
    """Tell whether JSON has a word for a value."""
    return not isinstance(value, float) or math.isfinite(value)


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl.

    Parameters
    ----------
    run : Path
        Folder of the run.

    Returns
    -------
    list of dict
        Its lines, each with a ``step``; none where there is no file. What is no such line,
        as one cut short where a kill fell, is left out.
    """
    path = run / METRICS
    found = []
    if path.exists():
        for text in read_bytes(path, MAX_METRICS).decode("utf-8-sig", "replace").splitlines():
            with contextlib.suppress(ValueError):
                line = parse_json(text, path)
                if isinstance(line, dict) and isinstance(line.get("step"), int):
                    found.append(line)
    return found


def has_read_out(run: Path, step: int) -> bool:
    """Tell whether the record has a line of a read-out at a step.

    Parameters
    ----------
    run : Path
        Folder of the run.
    step : int
        Optimiser steps taken.

    Returns
    -------
    bool
        Lines of a step taken have a ``loss``, those of a read-out none.
    """
    return any(line["step"] == step and "loss" not in line for line in read_metrics(run))


def read_facts(run: Path) -> dict[str, Any]:
    """Read run.json.

    Parameters
    ----------
    run : Path
        Folder of the run.

    Returns
    -------
    dict
        What it holds; empty where there is none, or it is damaged.
    """
    try:
        facts = read_json(run / FACTS)
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def note_failure(run: Path, error: BaseException) -> None:
    """Write into run.json, if it is there, why a run ended.

    Parameters
    ----------
    run : Path
        Folder of the run.
    error : BaseException
        What ended it.
    """
    if facts := read_facts(run):
        reason = str(error).partition("\n")[0]
        facts["failure"] = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "what": f"{type(error).__name__}: {reason}".removesuffix(": "),
        }
        write_text(run / FACTS, json.dumps(facts, indent=2) + "\n")


def describe(run: Path, recipe: Plain, facts: dict[str, Any]) -> None:
    """Write recipe.toml and run.json beside the results.

    Parameters
    ----------
    run : Path
        Folder of the run.
    recipe : dataclass
        Resolved, with every default.
    facts : dict
        What else a reader needs: data, device, and the ``step`` that this start goes on from.

    Notes
    -----
    run.json tells of the latest start, and under ``starts``, shortly, of every one.
    """
    write_text(run / "recipe.toml", recipe_text(recipe))
    # Of the modules, not of the distributions: OpenCV comes under four names.
    modules = {m.__name__: str(m.__version__) for m in (torch, torchvision, np, cv2, PIL)}
    found = facts | {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": sys.argv,
        "commit": commit(),
        "versions": {"dilo": version("dilo")} | modules,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
    }
    starts = read_facts(run).get("starts", [])
    start = {key: found[key] for key in OF_A_START if key in found}
    found["starts"] = [*starts, start] if isinstance(starts, list) else [start]
    found["recipe"] = dataclasses.asdict(recipe)
    write_text(run / FACTS, json.dumps(found, indent=2) + "\n")
