"""What changes slowly beside the network: a copy that follows it, and a queue of keys."""

import torch
from torch import Tensor, nn
from torch.nn import functional


@torch.no_grad()
def ema_update(key: nn.Module, query: nn.Module, momentum: float) -> None:
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


def new_queue(dim: int, size: int, seed: int) -> Tensor:
    """Fill a queue with random directions.

    Parameters
    ----------
    dim : int
        Width D of an embedding.
    size : int
        Number K of negatives.
    seed : int
        Which directions.

    Returns
    -------
    Tensor of shape (D, K), float32
        Columns of unit length; the layout of the MoCo repository.
    """
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(dim, size, generator=generator), dim=0)


@torch.no_grad()
def enqueue(queue: Tensor, pointer: Tensor, keys: Tensor) -> None:
    """Write keys over the oldest of the queue, in place.

    Any number of keys fits: writing wraps around at the end, and of more keys than the
    queue holds the last ones stay.

    Parameters
    ----------
    queue : Tensor of shape (D, K), float32
        The negatives.
    pointer : Tensor of shape (1,), int64
        Column of the oldest; moved on.
    keys : Tensor of shape (B, D)
        New embeddings, of unit length.
    """
    size = queue.shape[1]
    # Computed on the device, so that no step waits for the pointer to reach the CPU.
    columns = (pointer + torch.arange(len(keys), device=queue.device)) % size
    queue[:, columns[-size:]] = keys[-size:].T.to(queue.dtype)
    pointer.copy_((pointer + len(keys)) % size)
