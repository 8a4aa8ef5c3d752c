"""A trunk over the images of a folder, a batch at a time."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dilo.eval.features.folders import LabelledFolder
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.errors import CheckpointError
from dilo.train.data.evaluation import EvalImages, collate
from dilo.train.data.loader import make_loader, prefetch_to_device
from dilo.train.runtime.devices import DTYPES, Precision


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
    if device.type == "cuda":
        encoder.network.to(memory_format=torch.channels_last)  # as its convolutions take it
    loading: Any = make_loader(
        EvalImages(folder.root, folder.names, encoder.size),
        batches,
        workers=workers,
        pin=device.type == "cuda",
        collate_fn=collate,
        prefetch_factor=2,
    )
    # What a device computes is read when it has been given the next batch, so that it never waits.
    previous: tuple[list[int], Tensor, list[tuple[int, str]]] | None = None
    with contextlib.closing(prefetch_to_device(loading, device, ("crops",))) as arriving:
        for (positions, crops, failures), _ in arriving:
            vectors = _vectors(encoder, crops, precision) if positions else torch.empty(0)
            if previous is not None:
                yield _block(encoder, *previous)
            previous = positions, vectors, failures
    if previous is not None:
        yield _block(encoder, *previous)


def width_of(encoder: Encoder) -> int:
    """Tell how wide features will be, from those of a black image.

    Parameters
    ----------
    encoder : Encoder
        The trunk.

    Returns
    -------
    int
        Columns D.
    """
    device = next(encoder.network.parameters()).device
    with torch.inference_mode():
        black = torch.zeros(1, 3, encoder.size, encoder.size, device=device)
        return encoder.features(black).shape[1]


def _vectors(encoder: Encoder, crops: Tensor, precision: Precision) -> Tensor:
    """Run the trunk, without waiting for the device."""
    if crops.device.type == "cuda":
        crops = crops.contiguous(memory_format=torch.channels_last)
    autocast = torch.autocast(crops.device.type, DTYPES[precision], enabled=precision != "fp32")
    with torch.inference_mode(), autocast:
        return encoder.features(crops / 255).float()


def _block(
    encoder: Encoder, positions: list[int], vectors: Tensor, failures: list[tuple[int, str]]
) -> Block:
    """Read what was computed; stop on NaN, whose neighbours would look like a result."""
    vectors = vectors.cpu()
    if not bool(vectors.isfinite().all()):
        raise CheckpointError(
            f"features of {encoder.source} must be finite, got NaN or infinity: "
            "the training run diverged; take an earlier checkpoint"
        )
    return Block(positions, vectors, failures)
