"""What a result was measured on, and how: results that agree in it stand for each other."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilo.eval.common.lookup import walk

if TYPE_CHECKING:  # torch takes seconds to import, and scores of masks need none of it
    from dilo.eval.features.features import Features
    from dilo.eval.features.folders import LabelledFolder
    from dilo.pipeline.images.names import Names


#: Where the records of a task say what they are of and how it was measured, beside "inputs".
SETTINGS: dict[str, tuple[str, ...]] = {
    "knn": (
        *("train_images", "test_images", "classes", "protocol", "bank", "output", "size"),
        *("precision", "temperature", "results.*.k"),
    ),
    "linear": ("train_images", "test_images", "classes", "protocol", "size", "precision", "seed"),
    "linear-fast": ("train_images", "test_images", "classes", "protocol", "size", "seed"),
    "localize": (
        *("images", "missing", "left_out.*.path", "truth_kind", "size"),
        *("methods.*.method", "methods.*.class"),
    ),
    "backgrounds": (
        *("mode", "masks_fingerprint", "seed", "judged_classes", "side", "mapping", "backgrounds"),
        *("results.*.size", "results.*.colours", "results.*.images"),
    ),
    "neighbors": (
        *("images.count", "asked.count", "k", "pick", "output", "class", "gradients"),
        *("queries.*.path", "checkpoints.*.size"),
    ),
    "gradients": ("class", "methods", "shown.*.path", "classifiers.*.size"),
    "saliency": ("images", "truths", "methods.*.method", "methods.*.missing"),
}


#: Where they say which weights were measured.
WEIGHTS = (
    *("checkpoint", "methods.*.checkpoint", "results.*.checkpoint"),
    *("checkpoints.*.checkpoint", "classifiers.*.checkpoint"),
)


#: Where they have its step, and what they call it: no difference in the folder of one run.
NAMED = (
    *("step", "methods.*.step", "results.*.step", "checkpoints.*.step", "classifiers.*.step"),
    *("methods.*.name", "results.*.name", "checkpoints.*.name", "classifiers.*.name"),
)


def listing(source: "LabelledFolder | Features") -> dict[str, str]:
    """Say which images a result is of.

    Parameters
    ----------
    source : LabelledFolder or Features
        The images, or their features.

    Returns
    -------
    dict
        "folder", whole, and "digest", that of all names in it.
    """
    names: Names | None = getattr(source, "names", None)  # features have the digest itself
    digest = getattr(source, "listed", "") if names is None else names.digest()
    return {"folder": str(source.root.resolve()), "digest": digest}


def keyed(folder: Path, keys: Iterable[str]) -> dict[str, str]:
    """Say which files of a folder a result is of.

    Parameters
    ----------
    folder : Path
        The folder, or a file that lists boxes.
    keys : iterable of str
        What is in it, in any order.

    Returns
    -------
    dict
        As `listing` gives it.
    """
    text = json.dumps(sorted(keys))
    return {
        "folder": str(folder.resolve()),
        "digest": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
    }


def masks_listing(source: Any) -> dict[str, str]:
    """Say which masks a result is of.

    Parameters
    ----------
    source : PngFolder or StoredMasks
        The masks; those of a store know what they follow from.

    Returns
    -------
    dict
        As `listing` gives it.
    """
    return keyed(source.folder, [getattr(source, "fingerprint", ""), *source.keys])


def inputs_of(record: Mapping[str, Any], *, of_run: bool) -> dict[str, Any] | None:
    """Gather what two records must agree in for the later to stand in place of the earlier.

    Parameters
    ----------
    record : mapping of str to object
        What a command found.
    of_run : bool
        Whether both lie in the folder of one run: then another step of its training is no
        difference, as it is everywhere else.

    Returns
    -------
    dict or None
        As JSON holds it; None where the record does not say which images it is of.
    """
    if not isinstance(record.get("inputs"), Mapping):
        return None
    paths = SETTINGS.get(str(record.get("task")), ())
    told: dict[str, Any] = {path: _values(record, path) for path in ("task", "inputs", *paths)}
    told["variations"] = [
        sorted(shares) for shares in _values(record, "results.*.top1") if isinstance(shares, dict)
    ]
    for path in WEIGHTS:
        weights = _values(record, path)
        told[path] = [_in_run(value) if of_run else _whole(value) for value in weights]
    if not of_run:
        told |= {path: _values(record, path) for path in NAMED}
    plain: dict[str, Any] = json.loads(json.dumps(told))
    return plain


def _values(record: Mapping[str, Any], path: str) -> list[Any]:
    """Give all that stands at a path of a record."""
    return [value for value, _ in walk(record, path.split("."))]


def _whole(value: object) -> object:
    """Name a file of weights wherever the command was given."""
    return os.path.abspath(value) if isinstance(value, str) else value


def _in_run(value: object) -> object:
    """Name a file of weights by its place in a run, of the training without its step."""
    if not isinstance(value, str):
        return value
    parts = Path(value).parts[-2:]
    return "checkpoints" if parts[:1] == ("checkpoints",) else "/".join(parts)
