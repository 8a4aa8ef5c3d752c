"""A folder of images and a trunk to one matrix of features."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dilo.eval.features.extraction import computed
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.features.provenance import Origin
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.errors import DiloError, first_few
from dilo.pipeline.images.names import Names, escaped
from dilo.train.monitor.nearest import Matrix
from dilo.train.runtime.devices import Precision


@dataclass(frozen=True, eq=False)
class Features:
    """Features of the readable images of a folder.

    Attributes
    ----------
    root : Path
        The folder.
    vectors : Matrix of shape (M, D), float32
        Not normalised, on the CPU: a Tensor, or a `StoredRows`, which reads the rows that a slice
        asks for.
    labels : Tensor of shape (M,), int64
        Class of each, a position in `classes`; -1 where there are no classes.
    classes : tuple of str
        Names of the classes; empty where images lie outside class folders.
    paths : Names
        Relative path of each image.
    unreadable : tuple of (str, str)
        Relative path of each image left out, and why.
    listed : str
        SHA-256 of the list of all images, those left out too, as `Names.digest` gives it.
    origin : Origin
        Which weights made them, and how.
    """

    root: Path
    vectors: Matrix
    labels: Tensor
    classes: tuple[str, ...]
    paths: Names
    unreadable: tuple[tuple[str, str], ...]
    listed: str
    origin: Origin


def features(
    encoder: Encoder,
    folder: LabelledFolder,
    *,
    batch: int = 256,
    workers: int = 0,
    device: torch.device | None = None,
    precision: Precision = "fp32",
    progress: Callable[[int], object] | None = None,
) -> Features:
    """Run the trunk over every image of a folder, and hold what it gives in memory.

    Parameters
    ----------
    encoder : Encoder
        The trunk; it is moved to `device`.
    folder : LabelledFolder
        The images.
    batch : int, default 256
        Images that the trunk sees at once.
    workers : int, default 0
        Processes that decode; 0 decodes in this one.
    device : torch.device, optional
        Where the trunk runs; the CPU by default.
    precision : {"fp32", "bf16", "fp16"}, default "fp32"
        In what it computes.
    progress : callable, optional
        Called after each batch with the number of images done since the last call.

    Returns
    -------
    Features
        One row for each image that could be read.

    Raises
    ------
    CheckpointError
        If a feature is not finite.
    DiloError
        If no image could be read.
    """
    count = len(folder.names)
    batches = [[*range(count)[first : first + batch]] for first in range(0, count, batch)]
    vectors = torch.empty(0)
    kept: list[int] = []
    failures: list[tuple[int, str]] = []
    for block in computed(
        encoder, folder, batches, workers=workers, device=device, precision=precision
    ):
        if block.positions:
            if not kept:  # all at once: growing it would hold two copies
                vectors = torch.empty(count, block.vectors.shape[1])
            vectors[len(kept) : len(kept) + len(block.positions)] = block.vectors
            kept += block.positions
        failures += block.failures
        if progress is not None:
            progress(len(block.positions) + len(block.failures))
    found = features_of(folder, kept, vectors[: len(kept)], failures, Origin.of(encoder, precision))
    require_readable(found)
    return found


def features_of(
    folder: LabelledFolder,
    positions: list[int],
    vectors: Matrix,
    failures: Sequence[tuple[int, str]],
    origin: Origin,
) -> Features:
    """Put rows beside what is known of their images.

    Parameters
    ----------
    folder : LabelledFolder
        The images.
    positions : list of int
        Which of them the rows are of.
    vectors : Matrix of shape (M, D), float32
        The rows.
    failures : sequence of (int, str)
        Positions of those that could not be read, and why.
    origin : Origin
        What made the rows.

    Returns
    -------
    Features
        Of the folder, or of a part of it.
    """
    whole = positions == list(range(len(folder.names)))
    return Features(
        folder.root,
        vectors,
        folder.labels[torch.tensor(positions, dtype=torch.int64)],
        folder.classes,
        folder.names if whole else Names(folder.names[position] for position in positions),
        tuple((escaped(folder.names[position]), reason) for position, reason in failures),
        folder.names.digest(),
        origin,
    )


def require_readable(found: Features) -> None:
    """Refuse features of a folder of which nothing could be read.

    Parameters
    ----------
    found : Features
        Of the folder.

    Raises
    ------
    DiloError
        If there are no rows.
    """
    if not len(found.vectors):
        path, reason = found.unreadable[0]
        raise DiloError(
            f"{found.root} must hold images that can be read, but none of {len(found.unreadable)} "
            f"could, the first being {path} ({reason}): check the files"
        )


def features_record(found: Features) -> dict[str, Any]:
    """Gather what --json prints.

    Parameters
    ----------
    found : Features
        Of a folder.

    Returns
    -------
    dict
        What made them, how many there are, and what was left out.
    """
    rows, width = found.vectors.shape
    return {
        "task": "features",
        **asdict(found.origin),
        "folder": str(found.root),
        "images": found.listed,
        "rows": rows,
        "width": width,
        "classes": len(found.classes),
        "unreadable": unreadable_record(found),
    }


def unreadable_record(found: Features) -> list[dict[str, str]]:
    """List what was left out, as records have it.

    Parameters
    ----------
    found : Features
        Of a folder.

    Returns
    -------
    list of dict
        "path" and "reason" of each.
    """
    return [{"path": str(found.root / path), "reason": why} for path, why in found.unreadable]


def relabelled(found: Features, classes: Sequence[str]) -> Features:
    """Give the classes of features the numbers that they have in another list.

    Parameters
    ----------
    found : Features
        With classes of their own.
    classes : sequence of str
        Those to number by.

    Returns
    -------
    Features
        The same rows, their labels positions in `classes`.

    Raises
    ------
    DiloError
        If a class of the rows is not among `classes`.
    """
    there = {name: number for number, name in enumerate(classes)}
    used = torch.unique(found.labels).tolist()
    if unknown := [found.classes[number] for number in used if found.classes[number] not in there]:
        raise DiloError(
            f"classes of {found.root} must be among the {len(classes)} of the training images, got "
            f"{first_few([*map(escaped, unknown)])}: take features of the same classes"
        )
    numbers = torch.tensor([there.get(name, -1) for name in found.classes])
    return dataclasses.replace(found, labels=numbers[found.labels], classes=tuple(classes))
