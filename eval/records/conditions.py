"""How numbers were measured: what records of a task must agree in to be compared."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from dilo.eval.common.lookup import find_in

#: A digest, of which the beginning does.
DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


@dataclass(frozen=True)
class ConditionSpec:
    """What records of a task must agree in."""

    #: Where it stands in a record: keys, parted by dots.
    path: str
    #: What it is.
    words: str
    #: The commands; none for all.
    tasks: tuple[str, ...] = ()


#: Images are compared by the digest of what was listed, never by a path or a count: a folder may
#: be spelled in two ways, and two folders may hold as many images.
INPUTS = (
    ConditionSpec("inputs.train", "training images"),
    ConditionSpec("inputs.test", "test images"),
    ConditionSpec("inputs.images", "images"),
    ConditionSpec("inputs.queries", "query images"),
    ConditionSpec("inputs.truth", "ground truth", ("localize", "discovery")),
    ConditionSpec("inputs.masks", "masks", ("backgrounds", "backgrounds-retrieval")),
)

#: The step is no condition where a checkpoint was chosen to be compared with others.
STEP = ConditionSpec("step", "step of the checkpoint")

CONDITIONS = (
    *INPUTS,
    STEP,
    ConditionSpec("protocol", "protocol"),
    ConditionSpec("layer", "features"),
    ConditionSpec("size", "side of the crops, pixels"),
    ConditionSpec("temperature", "temperature", ("knn",)),
    ConditionSpec("classes", "classes"),
    ConditionSpec("deviations", "deviations from the protocol", ("detect",)),
    ConditionSpec("precision", "precision", ("detect",)),
    ConditionSpec("truth_kind", "kind of ground truth", ("localize",)),
    ConditionSpec("no_hard", "difficult and truncated objects left out", ("discovery",)),
    ConditionSpec("mode", "source of the variations", ("backgrounds",)),
    ConditionSpec("seed", "seed of the variations", ("backgrounds",)),
    ConditionSpec("seed", "seed of the queries", ("backgrounds-retrieval",)),
    ConditionSpec("crop", "least share of an image in a crop", ("backgrounds-retrieval",)),
    ConditionSpec("backgrounds", "backgrounds", ("backgrounds-retrieval",)),
    ConditionSpec("same", "what is one photograph", ("backgrounds-retrieval",)),
    ConditionSpec("questions", "queries of an image", ("backgrounds-retrieval",)),
    # Of equal folders, --limit takes a part.
    ConditionSpec("results.*.images", "number of images", ("backgrounds", "backgrounds-retrieval")),
)


@dataclass(frozen=True)
class Condition:
    """What each of several records says of a condition."""

    #: What it is.
    words: str
    #: What each column has, for people; what a record does not say is not there.
    values: dict[str, str]
    #: The same, such that equal ones are equal: of images, their digest.
    keys: dict[str, str]

    @property
    def differs(self) -> bool:
        """Check whether two records disagree, so that their numbers must not be compared."""
        return len(set(self.keys.values())) > 1

    def sentence(self) -> str:
        """Say what each has."""
        each = ", ".join(f"{name} {value}" for name, value in self.values.items())
        return f"other {self.words} ({each})"


def conditions(
    task: str,
    records: Mapping[str, Mapping[str, Any]],
    *,
    specs: Collection[ConditionSpec] = CONDITIONS,
    chosen: Collection[str] = (),
) -> list[Condition]:
    """List how the numbers of some columns were measured; the step of `chosen` is left open."""
    result = []
    for spec in specs:
        if spec.tasks and task not in spec.tasks:
            continue
        values, keys = {}, {}
        for column, record in records.items():
            if spec is STEP and column in chosen:
                continue
            pairs = [_value(item) for item, _ in find_in(record, spec.path.split("."))]
            if key := " ".join(dict.fromkeys(key for _, key in pairs)):
                values[column] = " ".join(dict.fromkeys(words for words, _ in pairs))
                keys[column] = key
        if values:
            result.append(Condition(spec.words, _distinguished(values, keys), keys))
    return result


def incomparable(
    task: str, records: Mapping[str, Mapping[str, Any]], *, chosen: Collection[str] = ()
) -> list[Condition]:
    """List what forbids to compare numbers; what a record does not say forbids nothing."""
    return [c for c in conditions(task, records, chosen=chosen) if c.differs]


def of_same_images(task: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Check whether two records are of the same images, masks and ground truth."""
    records = {"first": first, "second": second}
    return not any(c.differs for c in conditions(task, records, specs=INPUTS))


def folder_words(folder: str) -> str:
    """Name a folder by its last two parts.

    Examples
    --------
    >>> folder_words("/data/imagenette/val")
    'imagenette/val'
    """
    return "/".join(PurePath(folder).parts[-2:]).lstrip("/") or folder


def _distinguished(values: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, str]:
    """Add the digest to words that two columns share though they mean different images."""
    by_words: dict[str, set[str]] = {}
    for column, words in values.items():
        by_words.setdefault(words, set()).add(keys[column])
    return {
        column: f"{words} {keys[column][:8]}" if len(by_words[words]) > 1 else words
        for column, words in values.items()
    }


def _value(value: object) -> tuple[str, str]:
    """Write a value for people, and such that equal ones are equal and others not."""
    if isinstance(value, Mapping) and "folder" in value:
        digest = value.get("digest")
        return folder_words(str(value["folder"])), digest if isinstance(digest, str) else ""
    words = _words(value)
    return words, words


def _words(value: object) -> str:
    """Write a value in a line."""
    if value is None or isinstance(value, str):
        return DIGEST.sub(r"\1", value or "")
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(inner)}" for key, inner in value.items())
    if isinstance(value, list) and all(isinstance(item, int | float | str) for item in value):
        return " ".join(map(_words, value))
    return json.dumps(value, sort_keys=True)
