"""What lies in the folder of a run, or of results: records, pictures, curves; damage is told."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dilo.eval.common.inputs import inputs_of
from dilo.pipeline.common.textfiles import parse_toml, read_json, read_text
from dilo.train.monitor.metrics import read_metrics
from dilo.train.monitor.plot import recipe_words
from dilo.train.monitor.run_info import RUN_INFO, read_run_info

#: Bytes of a record, at most; what is larger is no record of ours.
LARGEST = 64 * 2**20


#: No number of a record is larger, NaN and infinity least of all.
GREATEST = 1e15


@dataclass(frozen=True)
class Result:
    """One record that a command of `dilo-eval` wrote.

    Attributes
    ----------
    task : str
        The command.
    path : Path
        The file.
    record : dict
        Its content.
    """

    task: str
    path: Path
    record: dict[str, Any]

    @property
    def step(self) -> float:
        """Step of its checkpoint; -1 where it tells none.

        Returns
        -------
        float
            Optimiser steps.
        """
        step = number(self.record.get("step"))
        return -1 if step is None else step


@dataclass(frozen=True)
class Source:
    """A run, or a folder of results that belong to no single run.

    Attributes
    ----------
    name : str
        What the page calls it.
    folder : Path
        Where it is.
    is_run : bool
        Whether it stands beside the others as a run.
    facts : dict
        Of run.json.
    recipe : dict of str to str
        Settings in words, by dotted keys; empty where unknown.
    lines : list of dict
        Of metrics.jsonl.
    results : list of Result
        All records found.
    pictures : list of Path
        PNGs beside the records.
    notes : list of str
        What is damaged and left out.
    """

    name: str
    folder: Path
    is_run: bool = True
    facts: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, str] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def result(self, task: str) -> Result | None:
        """Choose the record of a task: of the latest step, then written last.

        Of records of several sets of images or settings, that in the task's own folder goes
        before those beside it, of one step.

        Parameters
        ----------
        task : str
            The command.

        Returns
        -------
        Result or None
            The record; None where there is none.
        """
        return max(self._records(task), key=_rank, default=None)

    def _records(self, task: str) -> list[Result]:
        """List the records of a task."""
        return [result for result in self.results if result.task == task]

    def asides(self, task: str) -> list[Result]:
        """Choose the records of a task that are of other images or settings than the first.

        Parameters
        ----------
        task : str
            The command.

        Returns
        -------
        list of Result
            Of each set of images and settings the latest.
        """
        groups: dict[str, Result] = {}
        for result in sorted(self._records(task), key=_rank):
            groups[_group(result)] = result
        first = self.result(task)
        return [result for result in groups.values() if result is not first] if first else []

    def aside(self, result: Result) -> "Source":
        """Give a record that stands beside the first of its task a name of its own.

        Parameters
        ----------
        result : Result
            One of `asides`.

        Returns
        -------
        Source
            Of this record alone, called by its folder.
        """
        folder, stem = result.path.parent.name, result.path.stem
        words = folder if stem == result.task else f"{folder}/{stem}"
        return replace(self, name=f"{self.name} ({words})", results=[result], pictures=[])

    def chosen(self) -> list[Result]:
        """Choose one record of each task.

        Returns
        -------
        list of Result
            By their tasks.
        """
        tasks = dict.fromkeys(result.task for result in self.results)
        return [found for task in tasks if (found := self.result(task))]

    def left_out(self) -> list[str]:
        """Name the records that another of the same task stands for.

        Returns
        -------
        list of str
            A sentence each.
        """
        return [
            f"{self.name}: {other.path} is not shown, for {chosen.path} is of a later step, or "
            "was written later."
            for first in self.chosen()
            for chosen in (first, *self.asides(first.task))
            for other in self._records(first.task)
            if other is not chosen and _group(other) == _group(chosen)
        ]


def _rank(result: Result) -> tuple[float, bool, float]:
    """Tell how late a record is; of one step, the one in the task's own folder is the first."""
    own = result.path.parent.name == result.task
    return result.step, own, result.path.stat().st_mtime


def _group(result: Result) -> str:
    """Name what a record is of; those that do not tell are taken to be of one set."""
    return json.dumps(inputs_of(result.record, of_run=True), sort_keys=True)


def number(value: object) -> float | None:
    """Take a value for a number, if it is one.

    Parameters
    ----------
    value : object
        From a record.

    Returns
    -------
    float or None
        None for what is no number, a flag, or beyond anything that is measured.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if abs(found) <= GREATEST else None


def read_source(name: str, folder: Path, *, is_run: bool) -> Source:
    """Read all that a folder holds.

    Parameters
    ----------
    name : str
        What the page calls it.
    folder : Path
        A run; or records and pictures, in it or in folders in it.
    is_run : bool
        Whether it is a run.

    Returns
    -------
    Source
        What was found, which may be nothing.
    """
    notes: list[str] = []
    results: list[Result] = []
    pictures: list[Path] = []
    for place in _places(folder):
        files = sorted(path for path in place.iterdir() if path.is_file())
        found = [r for path in files if path.suffix == ".json" if (r := _result(path, notes))]
        results += found
        if found or place.parent.name == "eval" or not is_run:
            pictures += [path for path in files if path.suffix.lower() == ".png"]
    return Source(
        name=name,
        folder=folder,
        is_run=is_run,
        facts=read_run_info(folder),
        recipe=_recipe(folder, notes),
        lines=read_metrics(folder) if is_run else [],
        results=results,
        pictures=pictures,
        notes=[f"{name}: {note}" for note in notes],
    )


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
            notes.append(f"{path} is left out: larger than {LARGEST >> 20} MiB")
            return None
        record = read_json(path)
    except (OSError, ValueError) as error:
        if path.name != RUN_INFO:
            notes.append(f"{path} is left out: it is no JSON that can be read ({error})")
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
            notes.append(f"{folder / 'recipe.toml'} is left out: it cannot be read ({error})")
            return {}
    return recipe_words(recipe)
