"""Where features come from: which weights, and how they looked at the images."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor

from dilo.eval.models.encoder import Encoder
from dilo.train.runtime.devices import Precision


@dataclass(frozen=True)
class Origin:
    """What made features; of two files with one origin, rows can be compared.

    Attributes
    ----------
    checkpoint : str
        Path of the file of weights, when it was read.
    weights : str
        SHA-256 of the weights themselves, as 64 hexadecimal digits: the same for another copy of
        the checkpoint, and for the same trunk in another layout.
    step : int or None
        Optimiser steps taken, where the checkpoint says so.
    size : int
        Side of the crops in pixels.
    space : str
        Colours that the network saw.
    output : str
        "pooled" or "embedding".
    arch : str
        Architecture.
    precision : str
        In what the network computed: "fp32", "bf16" or "fp16".
    """

    checkpoint: str
    weights: str
    step: int | None
    size: int
    space: str
    output: str
    arch: str
    precision: Precision

    @classmethod
    def of(cls, encoder: Encoder, precision: Precision = "fp32") -> Self:
        """Describe what an encoder makes.

        Parameters
        ----------
        encoder : Encoder
            The network.
        precision : {"fp32", "bf16", "fp16"}, default "fp32"
            In what it computes.

        Returns
        -------
        Origin
            Of its features.
        """
        return cls(
            str(encoder.source),
            digest_of(encoder.network.state_dict()),
            encoder.step,
            encoder.size,
            encoder.space,
            encoder.output,
            encoder.model.arch,
            precision,
        )

    def same(self) -> dict[str, Any]:
        """Give what must be equal for rows to be comparable.

        Returns
        -------
        dict
            All but where the checkpoint lay, and its step, which follow from the weights or
            say nothing.
        """
        return {k: v for k, v in asdict(self).items() if k not in ("checkpoint", "step")}

    def digest(self) -> str:
        """Digest what must be equal.

        Returns
        -------
        str
            SHA-256, as 64 hexadecimal digits.
        """
        return hashlib.sha256(json.dumps(self.same(), sort_keys=True).encode()).hexdigest()

    def differences(self, other: "Origin") -> list[str]:
        """Name what differs such that rows cannot be compared.

        Parameters
        ----------
        other : Origin
            Of other features.

        Returns
        -------
        list of str
            As "size 224 and 96"; of weights, the checkpoints. Empty if nothing does.
        """
        found = []
        for name in (field.name for field in fields(self)):
            here, there = getattr(self, name), getattr(other, name)
            if name not in self.same() or here == there:
                continue
            if name == "weights":
                name, here, there = "checkpoint", self._checkpoint(), other._checkpoint()
            found.append(f"{name} {here} and {there}")
        return found

    def _checkpoint(self) -> str:
        """Name the weights: two checkpoints may have lain at one path."""
        return f"{self.checkpoint} (weights {self.weights[:8]})"


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """Digest weights, by which a copy of a checkpoint is the same and another step is not.

    Parameters
    ----------
    weights : mapping of str to Tensor
        By name, as a network's `state_dict` has them; the counts of batches, on which no output
        depends, are passed over.

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
