"""The momentum encoder: a network that follows another slowly."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def follow(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """Move the key encoder's parameters towards the query encoder's, in place.

    Parameters
    ----------
    key, query : Module
        Encoders of the same architecture, in float32. Buffers are left alone: the key
        encoder's running statistics are of its own batches.
    momentum : float
        Share that the key encoder keeps.
    """
    slow: list[Tensor] = list(key.parameters())
    fast: list[Tensor] = list(query.parameters())
    torch._foreach_lerp_(slow, fast, 1.0 - momentum)
