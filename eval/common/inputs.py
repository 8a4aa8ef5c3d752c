"""What a result was measured on, and how: results that agree in it stand for each other."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilo.eval.common.lookup import find_in
from dilo.pipeline.images.folder import file_size
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.source import ImageSource

if TYPE_CHECKING:  # torch takes seconds to import, and scores of masks need none of it
    from dilo.eval.features.features import Features
    from dilo.eval.features.folders import LabelledFolder

#: Files whose sizes are asked for together, and how many such blocks at once.
BLOCK, THREADS = 1024, 16


#: Where the records of a task say what they are of and how it was measured, beside "inputs".
SETTINGS: dict[str, tuple[str, ...]] = {
    "knn": (
        *("train_images", "test_images", "classes", "protocol", "layer", "size"),
        *("precision", "temperature", "results.*.k"),
    ),
    **dict.fromkeys(
        ("linear", "linear-fast"),
        ("train_images", "test_images", "classes", "protocol", "size", "precision", "seed"),
    ),
    "detect": ("protocol", "deviations", "train_images", "test_images", "precision", "seeds"),
    "localize": (
        *("images", "skipped.*.path", "truth_kind", "size"),
        *("methods.*.method", "methods.*.class"),
    ),
    "discovery": ("images", "no_hard", "skipped.*.path", "methods.*.method"),
    "backgrounds": (
        *("mode", "masks_fingerprint", "seed", "judged_classes", "side", "mapping", "backgrounds"),
        *("results.*.size", "results.*.images"),
    ),
    "backgrounds-retrieval": (
        *("seed", "crop", "backgrounds", "same", "questions"),
        *("results.*.size", "results.*.images"),
    ),
    "neighbors": (
        *("images.count", "query_images.count", "k", "pick", "layer", "class", "gradients"),
        *("queries.*.path", "checkpoints.*.size"),
    ),
    "gradients": ("class", "methods", "shown.*.path", "classifiers.*.size"),
    "saliency": ("images", "truths", "methods.*.method", "skipped.*.path"),
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


def listing(source: "LabelledFolder | Features") -> dict[str, Any]:
    """Say which images a result is of: their folder, and the digest of their names and sizes.

    Of a part of the folder, also the options that say which.
    """
    images = {"folder": str(source.root.resolve()), "digest": source.digest}
    return images | selected(source.options)


def same_images_warning(inputs: Mapping[str, Any]) -> list[str]:
    """Warn where test images have the names and sizes of the training images: a copy, or a tar."""
    if inputs["train"]["digest"] != inputs["test"]["digest"]:
        return []
    return [
        "warning: the test images have the names and sizes of the training images: if they are the "
        "same, each finds itself, and this accuracy is no evidence"
    ]


def selected(options: Mapping[str, Any]) -> dict[str, Any]:
    """Say which options narrowed the images, if any did."""
    return {"selection": dict(options)} if options else {}


def keyed(folder: Path, keys: Iterable[str], *more: str) -> dict[str, str]:
    """Say as `listing` does which files of a folder, or entries of a file, a result is of."""
    return {"folder": str(folder.resolve()), "digest": digest_of_files(folder, sorted(keys), *more)}


def keyed_images(images: ImageSource, names: Iterable[str]) -> dict[str, str]:
    """Say as `listing` does which images of a source a result is of."""
    digest = digest_of_sizes(sorted(names), images.size)
    return {"folder": str(images.path.resolve()), "digest": digest}


def masks_listing(source: Any) -> dict[str, str]:
    """Say as `listing` does which masks a result is of; a store knows what they follow from."""
    keys = getattr(source, "files", source.keys)
    return keyed(source.folder, keys, getattr(source, "fingerprint", ""))


def digest_of_files(folder: Path, names: Sequence[str], *more: str) -> str:
    """Digest names and the sizes of the files that they name.

    Parameters
    ----------
    folder : Path
        Where the files are; or one file, in which the names stand.
    names : sequence of str
        Relative paths, in the order that counts.
    *more : str
        What else belongs to them.

    Returns
    -------
    str
        SHA-256, as 64 hexadecimal digits.
    """
    return digest_of_sizes(
        names, lambda name: file_size(folder / name), *more, whole=file_size(folder)
    )


def digest_of_sizes(
    names: Sequence[str], size: Callable[[str], int], *more: str, whole: int = -1
) -> str:
    """Digest names and sizes, as `digest_of_files` does.

    Parameters
    ----------
    names : sequence of str
        Relative paths, in the order that counts.
    size : callable
        Returns the bytes of a file by its name; -1 if there is none.
    *more : str
        What else belongs to them.
    whole : int, default -1
        Bytes of the one file in which the names stand; -1 if they are of files.

    Returns
    -------
    str
        SHA-256, as 64 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps([*more, whole]).encode())
    blocks = [range(len(names))[at : at + BLOCK] for at in range(0, len(names), BLOCK)]

    def sized(block: range) -> bytes:
        lines = (f"{size(name)} {escaped(name)}\n" for name in (names[at] for at in block))
        return "".join(lines).encode()

    with ThreadPoolExecutor(THREADS) as pool:  # of a network's disk each answer takes a while
        for lines in pool.map(sized, blocks):
            digest.update(lines)
    return digest.hexdigest()


def inputs_of(record: Mapping[str, Any], *, of_run: bool) -> dict[str, Any] | None:
    """Gather what two records must agree in for the later to stand in place of the earlier.

    That is the images by their digests, wherever they lie, the settings, and the weights; between
    records in the folder of one run (`of_run`), another step of its training is no difference.
    None where the record does not say which images it is of.
    """
    if not isinstance(record.get("inputs"), Mapping):
        return None
    paths = SETTINGS.get(str(record.get("task")), ())
    compared: dict[str, Any] = {path: _values(record, path) for path in ("task", *paths)}
    compared["inputs"] = _digests(record["inputs"])
    compared["variations"] = [
        sorted(shares) for shares in _values(record, "results.*.top1") if isinstance(shares, dict)
    ]
    for path in WEIGHTS:
        weights = _values(record, path)
        compared[path] = [_in_run(value) if of_run else _whole(value) for value in weights]
    if not of_run:
        compared |= {path: _values(record, path) for path in NAMED}
    plain: dict[str, Any] = json.loads(json.dumps(compared))
    return plain


def _digests(inputs: object) -> object:
    """Take the digest of each folder in place of where it lies."""
    if isinstance(inputs, Mapping):
        if "digest" in inputs:
            return inputs["digest"]
        return {name: _digests(value) for name, value in inputs.items()}
    return [*map(_digests, inputs)] if isinstance(inputs, list | tuple) else inputs


#: Names of folders that say nothing of what is in them.
GENERIC = {
    *("train", "training", "val", "valid", "validation", "test", "testing", "all"),
    *("images", "image", "imgs", "img", "pictures", "jpegimages", "data", "dataset", "datasets"),
    *("masks", "mask", "truth", "gt", "annotations", "boxes"),
}


#: Which of the inputs a result is named after, where it has several.
NAMESAKES = ("test", "queries", "images", "truth", "masks")


def data_name(inputs: object) -> str:
    """Name a result after the folder of its images: "imagenette" of /data/imagenette/val.

    Parameters
    ----------
    inputs : mapping of str to object
        What a record has under "inputs".

    Returns
    -------
    str
        Letters, digits, ``.``, ``_`` and ``-``, a part of a file name; "" of no such mapping.

    Examples
    --------
    >>> data_name({"test": {"folder": "/data/imagenette/val", "digest": "12ab"}})
    'imagenette'
    """
    if not isinstance(inputs, Mapping):
        return ""
    for key in (*NAMESAKES, *inputs):
        for value in [*_values(inputs, key), *_values(inputs, f"{key}.*")]:
            folder = value.get("folder") if isinstance(value, Mapping) else value
            if isinstance(folder, str) and (name := _folder_name(folder)):
                return name
    return ""


def _folder_name(folder: str) -> str:
    """Take the last part of a path that says something, as a part of a file name."""
    parts = [part for part in Path(folder).parts if part.strip("/")]
    telling = [part for part in parts if part.lower() not in GENERIC] or parts
    return re.sub(r"[^\w.-]+", "-", telling[-1], flags=re.ASCII).strip("-.") if telling else ""


def _values(record: Mapping[str, Any], path: str) -> list[Any]:
    """Give all that stands at a path of a record."""
    return [value for value, _ in find_in(record, path.split("."))]


def _whole(value: object) -> object:
    """Name a file of weights wherever the command was given."""
    return os.path.abspath(value) if isinstance(value, str) else value


def _in_run(value: object) -> object:
    """Name a file of weights by its place in a run, of the training without its step."""
    if not isinstance(value, str):
        return value
    parts = Path(value).parts[-2:]
    return "checkpoints" if parts[:1] == ("checkpoints",) else "/".join(parts)
