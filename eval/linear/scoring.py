"""What a linear layer gets right: top-1, top-5, and class by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dilo.pipeline.errors import CheckpointError
from dilo.train.monitor.nearest import Matrix


@dataclass(frozen=True)
class Score:
    """How often the true class is the first, or among the first five.

    Attributes
    ----------
    top1, top5 : float
        Per cent of the images.
    """

    top1: float
    top5: float


def places(weight: Tensor, bias: Tensor, rows: Matrix, labels: Tensor, chunk: int = 4096) -> Tensor:
    """Find at which place a linear layer has the true class of each image.

    Parameters
    ----------
    weight : Tensor of shape (C, D), float32
        One row a class.
    bias : Tensor of shape (C,), float32
        One value a class.
    rows : Tensor of shape (M, D), float32, or alike
        Features.
    labels : Tensor of shape (M,), int64
        Their classes.
    chunk : int, default 4096
        Rows scored at once.

    Returns
    -------
    Tensor of shape (M,), int64
        On the CPU: 0 where the true class is first. Between equal scores the lower class goes
        first.

    Raises
    ------
    CheckpointError
        If a score is not finite: a comparison with NaN would call anything right.
    """
    found = []
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        scores = torch.nn.functional.linear(rows[part].to(weight.device), weight, bias)
        if not bool(scores.isfinite().all()):
            raise CheckpointError(
                "scores of the linear layer must be finite, got NaN or infinity: "
                "its training diverged; give a smaller --lr"
            )
        found.append(places_of(scores, labels[part].to(weight.device)).cpu())
    return torch.cat(found)


def places_of(scores: Tensor, truth: Tensor) -> Tensor:
    """Count the classes that come before the true one.

    Parameters
    ----------
    scores : Tensor of shape (..., B, C), float
        Finite.
    truth : Tensor of shape (B,), int64
        The true classes.

    Returns
    -------
    Tensor of shape (..., B), int64
        Between equal scores the lower class goes first.

    Examples
    --------
    >>> import torch
    >>> scores = torch.tensor([[1.0, 3.0, 3.0, 2.0]])
    >>> [places_of(scores, torch.tensor([c])).item() for c in range(4)]
    [3, 0, 1, 2]
    """
    index = truth[:, None].expand(*scores.shape[:-1], 1)
    own = scores.gather(-1, index)
    lower = torch.arange(scores.shape[-1], device=scores.device) < index
    return ((scores > own) | ((scores == own) & lower)).sum(-1)


def score(found: Tensor) -> Score:
    """Sum up where the true classes were found.

    Parameters
    ----------
    found : Tensor of shape (M,), int64
        What `places` gives.

    Returns
    -------
    Score
        Over all of them.
    """
    percent = 100 / len(found)
    return Score(int((found < 1).sum()) * percent, int((found < 5).sum()) * percent)


def per_class(found: Tensor, labels: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Give the top-1 of each class.

    Parameters
    ----------
    found : Tensor of shape (M,), int64
        What `places` gives.
    labels : Tensor of shape (M,), int64
        The true classes.
    classes : sequence of str
        Their names.

    Returns
    -------
    dict of str to float
        Per cent of the images of each class; a class without images is left out.
    """
    total = torch.bincount(labels, minlength=len(classes)).tolist()
    right = torch.bincount(labels[found < 1], minlength=len(classes)).tolist()
    return {
        name: 100 * hits / images
        for name, hits, images in zip(classes, right, total, strict=True)
        if images
    }
