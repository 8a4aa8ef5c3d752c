"""Where features come from: which weights, and how they looked at the images."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from dilo.eval.models.encoder import Encoder
from dilo.train.runtime.devices import Precision


@dataclass(frozen=True)
class FeatureSource:
    """What made features; of two files with one source, rows can be compared."""

    #: Path of the file of weights, when it was read.
    checkpoint: str
    #: SHA-256 of the weights themselves, as 64 hexadecimal digits: the same for another copy of
    #: the checkpoint, and for the same backbone in another layout.
    weights: str
    #: Optimiser steps taken, where the checkpoint says so.
    step: int | None
    #: Side of the crops in pixels.
    size: int
    #: Colours that the network saw.
    space: str
    #: "pooled" or "embedding".
    layer: str
    #: Architecture.
    arch: str
    #: In what the network computed.
    precision: Precision

    @classmethod
    def of(cls, encoder: Encoder, precision: Precision = "fp32") -> Self:
        """Describe what an encoder makes, computing in a precision."""
        return cls(
            str(encoder.source),
            digest_of(encoder.network.state_dict()),
            encoder.step,
            encoder.size,
            encoder.space,
            encoder.layer,
            encoder.model.arch,
            precision,
        )

    def comparable_fields(self) -> dict[str, Any]:
        """Give what must be equal for rows to be comparable.

        That is all but where the checkpoint lay, and its step, which follow from the weights or
        say nothing.
        """
        return {k: v for k, v in asdict(self).items() if k not in ("checkpoint", "step")}

    def differences(self, other: "FeatureSource") -> list[str]:
        """Name what differs such that rows cannot be compared, as "size 224 and 96"."""
        differences = []
        for name in self.comparable_fields():
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine == theirs:
                continue
            if name == "weights":
                name, mine, theirs = "checkpoint", self._checkpoint(), other._checkpoint()
            differences.append(f"{name} {mine} and {theirs}")
        return differences

    def _checkpoint(self) -> str:
        """Name the weights: two checkpoints may have lain at one path."""
        return f"{self.checkpoint} (weights {self.weights[:8]})"


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """Digest weights, by which a copy of a checkpoint is the same and another step is not.

    Parameters
    ----------
    weights : mapping of str to Tensor
        By name, as a network's `state_dict` has them; the counts of batches, on which no output
        depends, are ignored.

    Returns
    -------
    str
        SHA-256, as 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        if name.endswith(".num_batches_tracked"):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
