"""A labelled folder and a trunk to one matrix of features."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dilo.eval.encoder import Encoder
from dilo.eval.folders import LabelledFolder
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.names import Names, escaped
from dilo.train.evaluationcrops import EvaluationCrops, collate


@dataclass(frozen=True, eq=False)
class Features:
    """Features of the readable images of a folder.

    Attributes
    ----------
    root : Path
        The folder.
    vectors : Tensor of shape (M, D), float32
        Pooled features, not normalised, on the CPU.
    labels : Tensor of shape (M,), int64
        Class of each, a position in `classes`.
    classes : tuple of str
        Names of the classes.
    paths : Names
        Relative path of each image.
    unreadable : tuple of (str, str)
        Relative path of each image left out, and why.
    """

    root: Path
    vectors: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    paths: Names
    unreadable: tuple[tuple[str, str], ...]


def features(
    encoder: Encoder,
    folder: LabelledFolder,
    *,
    batch: int = 256,
    workers: int = 0,
    device: torch.device | None = None,
    progress: Callable[[int], object] | None = None,
) -> Features:
    """Run the trunk over every image of a folder, in float32.

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
    device = device or torch.device("cpu")
    encoder.network.to(device)
    loader = DataLoader(
        EvaluationCrops(folder.root, folder.names, encoder.size),
        batch_size=batch,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
    )
    vectors = torch.empty(0)
    kept: list[int] = []
    unreadable: list[tuple[str, str]] = []
    for positions, crops, failures in loader:
        if positions:
            pooled = _pooled(encoder, crops.to(device, non_blocking=True))
            if not kept:  # all at once: growing it would hold two copies
                vectors = torch.empty(len(folder.names), pooled.shape[1])
            vectors[len(kept) : len(kept) + len(positions)] = pooled
            kept += positions
        unreadable += [(escaped(folder.names[position]), reason) for position, reason in failures]
        if progress is not None:
            progress(len(positions) + len(failures))
    if not kept:
        raise DiloError(
            f"{folder.root} must hold images that can be read, but none of {len(unreadable)} "
            f"could, the first being {unreadable[0][0]} ({unreadable[0][1]}): check the files"
        )
    names = Names(folder.names[i] for i in kept) if unreadable else folder.names
    labels = folder.labels[torch.tensor(kept)]
    return Features(
        folder.root, vectors[: len(kept)], labels, folder.classes, names, tuple(unreadable)
    )


def _pooled(encoder: Encoder, crops: Tensor) -> Tensor:
    """Run the trunk; stop on NaN, whose neighbours would be arbitrary yet look like a result."""
    with torch.inference_mode():
        pooled = encoder.features(crops / 255).cpu()
    if not bool(pooled.isfinite().all()):
        raise CheckpointError(
            f"features of {encoder.source} must be finite, got NaN or infinity: "
            "the training run diverged; take an earlier checkpoint"
        )
    return pooled
