"""A folder of images and a trunk to one matrix of features."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dilo.eval.encoder import Encoder
from dilo.eval.folders import LabelledFolder
from dilo.eval.origin import Origin
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.names import Names, escaped
from dilo.train.devices import DTYPES, Precision
from dilo.train.evaluationcrops import EvaluationCrops, collate
from dilo.train.nearest import Rows


@dataclass(frozen=True, eq=False)
class Features:
    """Features of the readable images of a folder.

    Attributes
    ----------
    root : Path
        The folder.
    vectors : Rows of shape (M, D), float32
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
    vectors: Rows
    labels: Tensor
    classes: tuple[str, ...]
    paths: Names
    unreadable: tuple[tuple[str, str], ...]
    listed: str
    origin: Origin


@dataclass(frozen=True, eq=False)
class Block:
    """What became of a batch of images.

    Attributes
    ----------
    positions : list of int
        Those of the B images that could be read, in the folder.
    vectors : Tensor of shape (B, D), float32
        Their features, on the CPU.
    failures : list of (int, str)
        Positions of the others, and why.
    """

    positions: list[int]
    vectors: Tensor
    failures: list[tuple[int, str]]


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
    unreadable = tuple((escaped(folder.names[at]), reason) for at, reason in failures)
    require_readable(folder.root, len(kept), unreadable)
    names = Names(folder.names[i] for i in kept) if unreadable else folder.names
    labels = folder.labels[torch.tensor(kept)]
    return Features(
        folder.root,
        vectors[: len(kept)],
        labels,
        folder.classes,
        names,
        unreadable,
        folder.names.digest(),
        Origin.of(encoder, precision),
    )


def computed(
    encoder: Encoder,
    folder: LabelledFolder,
    batches: Iterable[list[int]],
    *,
    workers: int = 0,
    device: torch.device | None = None,
    precision: Precision = "fp32",
) -> Iterator[Block]:
    """Run the trunk over some images, a batch at a time.

    Parameters
    ----------
    encoder : Encoder
        The trunk; it is moved to `device`.
    folder : LabelledFolder
        The images.
    batches : iterable of list of int
        Positions of the images that the trunk sees at once.
    workers : int, default 0
        Processes that decode; 0 decodes in this one.
    device : torch.device, optional
        Where the trunk runs; the CPU by default.
    precision : {"fp32", "bf16", "fp16"}, default "fp32"
        In what it computes.

    Yields
    ------
    Block
        One for each batch, in their order.

    Raises
    ------
    CheckpointError
        If a feature is not finite.
    """
    device = device or torch.device("cpu")
    encoder.network.to(device)
    loader = DataLoader(
        EvaluationCrops(folder.root, folder.names, encoder.size),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
    )
    for positions, crops, failures in loader:
        vectors = torch.empty(0)
        if positions:
            vectors = _vectors(encoder, crops.to(device, non_blocking=True), precision)
        yield Block(positions, vectors, failures)


def require_readable(root: Path, rows: int, unreadable: Sequence[tuple[str, str]]) -> None:
    """Refuse a folder of which nothing could be read.

    Parameters
    ----------
    root : Path
        The folder.
    rows : int
        Images that could be read.
    unreadable : sequence of (str, str)
        Path and reason of those that could not.

    Raises
    ------
    DiloError
        If there are no rows.
    """
    if not rows:
        raise DiloError(
            f"{root} must hold images that can be read, but none of {len(unreadable)} "
            f"could, the first being {unreadable[0][0]} ({unreadable[0][1]}): check the files"
        )


def _vectors(encoder: Encoder, crops: Tensor, precision: Precision) -> Tensor:
    """Run the trunk; stop on NaN, whose neighbours would be arbitrary yet look like a result."""
    autocast = torch.autocast(crops.device.type, DTYPES[precision], enabled=precision != "fp32")
    with torch.inference_mode(), autocast:
        vectors = encoder.features(crops / 255).float().cpu()
    if not bool(vectors.isfinite().all()):
        raise CheckpointError(
            f"features of {encoder.source} must be finite, got NaN or infinity: "
            "the training run diverged; take an earlier checkpoint"
        )
    return vectors
