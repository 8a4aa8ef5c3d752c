"""A backbone over the images of a folder, a batch at a time."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dilo.eval.features.folders import LabelledFolder
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.errors import CheckpointError
from dilo.train.data.evaluation import EvalBatch, EvalImages, collate
from dilo.train.data.loader import make_loader, prefetch_to_device
from dilo.train.runtime.devices import DTYPES, Precision


@dataclass(frozen=True, eq=False)
class FeatureBatch:
    """What became of a batch of images."""

    #: Those of the B images that could be read, in the folder.
    positions: list[int]
    #: Their features, of shape (B, D), float32, on the CPU.
    vectors: Tensor
    #: Positions of the others, and why.
    failures: list[tuple[int, str]]


def extract_batches(
    encoder: Encoder,
    folder: LabelledFolder,
    batches: Iterable[list[int]],
    *,
    workers: int = 0,
    device: torch.device | None = None,
    precision: Precision = "fp32",
) -> Iterator[FeatureBatch]:
    """Run the backbone over some images, a batch at a time.

    Parameters
    ----------
    encoder : Encoder
        The backbone; it is moved to `device`.
    folder : LabelledFolder
        The images.
    batches : iterable of list of int
        Positions of the images that the backbone sees at once.
    workers : int, default 0
        Processes that decode; 0 decodes in this one.
    device : torch.device, optional
        Where the backbone runs; the CPU by default.
    precision : {"fp32", "bf16", "fp16"}, default "fp32"
        In what it computes.

    Yields
    ------
    FeatureBatch
        One for each batch, in their order.

    Raises
    ------
    CheckpointError
        If a feature is not finite.
    """
    device = device or torch.device("cpu")
    prepare(encoder, device)
    loading: Any = make_loader(
        EvalImages(folder.images, folder.names, encoder.size),
        batches,
        workers=workers,
        pin=device.type == "cuda",
        collate_fn=collate,
        prefetch_factor=2,
    )
    pending: _Pending | None = None
    with contextlib.closing(prefetch_to_device(loading, device, ("crops",))) as arriving:
        for batch, _ in arriving:  # a GPU computes one batch while the one before is handed over
            following = _Pending(encoder, batch, precision)
            if pending is not None:
                yield pending.finish()
            pending = following
    if pending is not None:
        yield pending.finish()


def prepare(encoder: Encoder, device: torch.device) -> None:
    """Move the backbone to a device, on a GPU in the layout that its convolutions compute in."""
    if device.type == "cuda":
        encoder.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    else:
        encoder.network.to(device)


@torch.no_grad()
def run_backbone(encoder: Encoder, crops: Tensor, precision: Precision) -> Tensor:
    """Turn crops into features.

    Parameters
    ----------
    encoder : Encoder
        The backbone, as `prepare` left it.
    crops : Tensor of shape (B, 3, H, W), uint8
        RGB, on its device.
    precision : {"fp32", "bf16", "fp16"}
        In what it computes.

    Returns
    -------
    Tensor of shape (B, D), float32
        On the same device.
    """
    if crops.device.type == "cuda":
        crops = crops.contiguous(memory_format=torch.channels_last)
    with torch.autocast(crops.device.type, DTYPES[precision], enabled=precision != "fp32"):
        return encoder.features(crops / 255).float()


def require_finite(encoder: Encoder, vectors: Tensor) -> None:
    """Stop on NaN, whose neighbours would be arbitrary."""
    if not bool(vectors.isfinite().all()):
        raise CheckpointError(
            f"features of {encoder.source} must be finite, got NaN or infinity: "
            "the training run diverged; take an earlier checkpoint"
        )


class _Pending:
    """A batch that the device computes, and copies back, while the next one is begun."""

    def __init__(self, encoder: Encoder, batch: EvalBatch, precision: Precision) -> None:
        self._encoder, self._batch = encoder, batch
        self._vectors, self._copied = torch.empty(0), None
        if batch.positions:
            vectors = run_backbone(encoder, batch.crops, precision)
            if vectors.device.type == "cuda":
                self._vectors = torch.empty_like(vectors, device="cpu", pin_memory=True)
                self._vectors.copy_(vectors, non_blocking=True)
                self._copied = torch.cuda.current_stream(vectors.device).record_event()
            else:
                self._vectors = vectors

    def finish(self) -> FeatureBatch:
        """Wait for the features."""
        if self._copied is not None:
            self._copied.synchronize()
        require_finite(self._encoder, self._vectors)
        return FeatureBatch(self._batch.positions, self._vectors, self._batch.failures)


def width_of(encoder: Encoder) -> int:
    """Tell how wide features will be, from those of a black image."""
    device = next(encoder.network.parameters()).device
    with torch.inference_mode():
        black = torch.zeros(1, 3, encoder.size, encoder.size, device=device)
        return encoder.features(black).shape[1]
