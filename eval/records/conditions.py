"""How numbers were measured: what records of a task must agree in to be compared."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dilo.eval.common.lookup import walk

#: A digest, of which the beginning does.
DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


@dataclass(frozen=True)
class Condition:
    """What records of a task must agree in.

    Attributes
    ----------
    path : str
        Where it stands, as in a `Quantity`.
    words : str
        What it is.
    tasks : tuple of str
        The commands; none for all.
    """

    path: str
    words: str
    tasks: tuple[str, ...] = ()


CONDITIONS = (
    Condition("step", "step of the checkpoint"),
    Condition("protocol", "protocol"),
    Condition("output", "output of the network"),
    Condition("size", "side of the crops, pixels"),
    Condition("temperature", "temperature", ("knn",)),
    Condition("classes", "classes"),
    Condition("train_images", "training images"),
    Condition("test_images", "test images"),
    Condition("images", "images"),
    Condition("bank", "bank", ("knn",)),
    Condition("truth_kind", "truth", ("localize",)),
    Condition("mode", "source of the variations", ("backgrounds",)),
    Condition("masks_fingerprint", "masks", ("backgrounds",)),
    Condition("seed", "seed of the variations", ("backgrounds",)),
    Condition("results.*.images", "number of images", ("backgrounds",)),
)


@dataclass(frozen=True)
class Setting:
    """What each of several records says of a condition.

    Attributes
    ----------
    words : str
        What it is.
    values : dict of str to str
        By column; what a record does not tell is not there.
    """

    words: str
    values: dict[str, str]

    @property
    def differs(self) -> bool:
        """Tell whether two of them say another thing.

        Returns
        -------
        bool
            True where numbers must not be compared.
        """
        return len(set(self.values.values())) > 1

    def sentence(self) -> str:
        """Say what each has.

        Returns
        -------
        str
            Without the task.
        """
        each = ", ".join(f"{name} {value}" for name, value in self.values.items())
        return f"other {self.words} ({each})"


def settings(task: str, records: Mapping[str, Mapping[str, Any]]) -> list[Setting]:
    """Tell how numbers were measured.

    Parameters
    ----------
    task : str
        The command.
    records : mapping of str to mapping
        By column.

    Returns
    -------
    list of Setting
        One a condition that a record tells of.
    """
    found = []
    for condition in CONDITIONS:
        if condition.tasks and task not in condition.tasks:
            continue
        path = condition.path.split(".")
        told = {
            name: " ".join(dict.fromkeys(_words(value) for value, _ in walk(record, path)))
            for name, record in records.items()
        }
        if values := {name: value for name, value in told.items() if value}:
            found.append(Setting(condition.words, values))
    return found


def differing(task: str, records: Mapping[str, Mapping[str, Any]]) -> list[Setting]:
    """Find what forbids to compare numbers.

    Parameters
    ----------
    task : str
        The command.
    records : mapping of str to mapping
        By column.

    Returns
    -------
    list of Setting
        None where all agree in what they tell.
    """
    return [setting for setting in settings(task, records) if setting.differs]


def _words(value: object) -> str:
    """Write a value such that equal ones are equal, and others not."""
    if value is None or isinstance(value, str):
        return DIGEST.sub(r"\1", value or "")
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(inner)}" for key, inner in value.items())
    if isinstance(value, list) and all(isinstance(item, int | float | str) for item in value):
        return " ".join(map(_words, value))
    return json.dumps(value, sort_keys=True)
