"""What lies in the folder of a run, or of results: records, pictures, curves."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dilo.eval.common.inputs import inputs_of
from dilo.pipeline.common.textfiles import parse_toml, read_json, read_text
from dilo.pipeline.errors import DiloError
from dilo.train.monitor.metrics import read_metrics
from dilo.train.monitor.plot import recipe_words
from dilo.train.monitor.run_info import RUN_INFO, read_run_info

#: A checkpoint of a run, and the folder of results of one that is not its newest.
CHECKPOINT = re.compile(r"step-(\d+)\.pt")
STEP_FOLDER = re.compile(r"-step-\d+\b")
#: Bytes of a record, at most; what is larger is no record of ours.
LARGEST = 64 * 2**20


#: No number of a record is larger, NaN and infinity least of all.
GREATEST = 1e15


@dataclass(frozen=True)
class Result:
    """One record that a command of `dilo-eval` wrote."""

    #: The command.
    task: str
    path: Path
    record: dict[str, Any]

    @property
    def step(self) -> float:
        """Return the optimiser steps of its checkpoint; -1 where it does not say."""
        step = number(self.record.get("step"))
        return -1 if step is None else step


@dataclass(frozen=True)
class Source:
    """A run, a checkpoint of one, or a folder of results that belong to no single run."""

    #: What the page calls it.
    name: str
    folder: Path
    #: Whether it stands beside the others as a run.
    is_run: bool = True
    #: The step of the checkpoint that stands for the run, where one was named.
    step: int | None = None
    #: Of run.json.
    facts: dict[str, Any] = field(default_factory=dict)
    #: Settings in words, by dotted keys; empty where unknown.
    recipe: dict[str, str] = field(default_factory=dict)
    #: Of metrics.jsonl.
    lines: list[dict[str, Any]] = field(default_factory=list)
    #: All records.
    results: list[Result] = field(default_factory=list)
    #: PNGs beside the records.
    pictures: list[Path] = field(default_factory=list)
    #: What is damaged and skipped.
    notes: list[str] = field(default_factory=list)

    def shown(self) -> list[Result]:
        """Choose the records on the page: of equal images and settings that of the latest step.

        Those in a task's own folder come first. Of a folder that is no run, all are shown.
        """
        if not self.is_run:
            return self.results
        return [results[-1] for results in self._alike()]

    def result(self, task: str) -> Result | None:
        """Return the first record of a task, if there is one."""
        return next((result for result in self.shown() if result.task == task), None)

    def superseded(self) -> list[str]:
        """Say of each record that another stands for it."""
        return [
            f"{self.name}: {other.path} is not shown, for {latest.path} is of a later step, or "
            "was written later."
            for *others, latest in (self._alike() if self.is_run else ())
            for other in others
        ]

    def _alike(self) -> list[list[Result]]:
        """Group the records of equal images and settings, the latest of each group last."""
        groups: dict[str, list[Result]] = {}
        for result in sorted(self.results, key=_age):
            groups.setdefault(_group(result), []).append(result)
        return sorted(groups.values(), key=lambda group: _order(group[-1]))


def _age(result: Result) -> tuple[float, bool, float]:
    """Return how late a record is; of one step, the one in the task's own folder is the latest."""
    return result.step, result.path.parent.name == result.task, result.path.stat().st_mtime


def _order(result: Result) -> tuple[bool, float, str]:
    """Sort a task's own folder before those of other images or settings."""
    return result.path.parent.name != result.task, -result.step, str(result.path)


def _group(result: Result) -> str:
    """Name what a record is of; those that do not say are taken to be of one set."""
    inputs = inputs_of(result.record, of_run=True)
    return json.dumps([result.task, inputs], sort_keys=True)


def number(value: object) -> float | None:
    """Take a value of a record for a number; None for anything that nobody measures."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if abs(result) <= GREATEST else None


def read_source(name: str, path: Path, *, is_run: bool) -> Source:
    """Read all that a folder holds: records and pictures, in it or in folders in it.

    Of a checkpoint of a run, ``RUN/checkpoints/step-N.pt``, the records of this step.
    """
    if path.is_dir():
        return _read(name, path, is_run=is_run)
    step = _checkpoint_step(path)
    return _read(name, path.resolve().parents[1], is_run=is_run, step=step)


def read_run(checkpoint: Path, step: int | None) -> Source | None:
    """Read the run that a checkpoint, or a classifier below ``eval``, is of; None of no run."""
    above = list(checkpoint.resolve().parents)[1:3]
    run = next((folder for folder in above if (folder / "checkpoints").is_dir()), None)
    return _read(run.name, run, is_run=True, step=-1 if step is None else step) if run else None


def _read(name: str, folder: Path, *, is_run: bool, step: int | None = None) -> Source:
    """Read a folder; where a step is given, of the records those of this step."""
    notes: list[str] = []
    results: list[Result] = []
    pictures: list[Path] = []
    for place in _places(folder):
        if is_run and step is None and STEP_FOLDER.search(place.name):
            continue  # of a checkpoint that is not the newest, which stands for itself
        files = sorted(file for file in place.iterdir() if file.is_file())
        records = [r for file in files if file.suffix == ".json" if (r := _result(file, notes))]
        if step is not None:
            records = [result for result in records if result.step == step]
        results += records
        if records or not is_run or (step is None and place.parent.name == "eval"):
            pictures += [file for file in files if file.suffix.lower() == ".png"]
    return Source(
        name=name,
        folder=folder,
        is_run=is_run,
        step=step,
        facts=read_run_info(folder),
        recipe=_recipe(folder, notes),
        lines=read_metrics(folder) if is_run and step is None else [],
        results=results,
        pictures=pictures,
        notes=[f"{name}: {note}" for note in notes],
    )


def _checkpoint_step(path: Path) -> int:
    """Return the step of a checkpoint of a run, by its name."""
    match = CHECKPOINT.fullmatch(path.name)
    if not match or path.resolve().parent.name != "checkpoints":
        raise DiloError(
            f"{path} must be the folder of a run, or a checkpoint RUN/checkpoints/step-N.pt, got "
            "another file: give the folder that holds its results"
        )
    return int(match[1])


def _places(folder: Path) -> Iterator[Path]:
    """List the folders in which results may lie."""
    yield folder
    for above in (folder, folder / "eval"):
        if above.is_dir():
            yield from sorted(path for path in above.iterdir() if path.is_dir())


def _result(path: Path, notes: list[str]) -> Result | None:
    """Read a record; what is damaged is noted, what is no record passed over."""
    try:
        if path.stat().st_size > LARGEST:
            notes.append(f"{path} is skipped: larger than {LARGEST >> 20} MiB")
            return None
        record = read_json(path)
    except (OSError, ValueError) as error:
        if path.name != RUN_INFO:
            notes.append(f"{path} is skipped: it is no JSON that can be read ({error})")
        return None
    if not isinstance(record, dict) or not isinstance(record.get("task"), str):
        return None
    return Result(record["task"], path, record)


def _recipe(folder: Path, notes: list[str]) -> dict[str, str]:
    """Read a run's settings: from run.json, else from recipe.toml."""
    recipe = read_run_info(folder).get("recipe")
    if not isinstance(recipe, dict):
        try:
            path = folder / "recipe.toml"
            recipe = parse_toml(read_text(path), path)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            notes.append(f"{folder / 'recipe.toml'} is skipped: it cannot be read ({error})")
            return {}
    return recipe_words(recipe)
