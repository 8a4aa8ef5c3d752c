"""What a linear layer gets right: top-1, top-5, and class by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dilo.pipeline.errors import CheckpointError
from dilo.train.monitor.nearest import Matrix


@dataclass(frozen=True)
class TopkAccuracy:
    """How often the true class is the first, or among the first five, in per cent."""

    top1: float
    top5: float


def true_class_ranks(
    weight: Tensor, bias: Tensor, rows: Matrix, labels: Tensor, chunk: int = 4096
) -> Tensor:
    """Find the rank of the true class of each image among the scores of a linear layer.

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
    ranks = []
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        scores = torch.nn.functional.linear(rows[part].to(weight.device), weight, bias)
        if not bool(scores.isfinite().all()):
            raise CheckpointError(
                "scores of the linear layer must be finite, got NaN or infinity: "
                "its training diverged; give a smaller --lr"
            )
        ranks.append(ranks_of(scores, labels[part].to(weight.device)).cpu())
    return torch.cat(ranks)


def ranks_of(scores: Tensor, truth: Tensor) -> Tensor:
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
    >>> [ranks_of(scores, torch.tensor([c])).item() for c in range(4)]
    [3, 0, 1, 2]
    """
    index = truth[:, None].expand(*scores.shape[:-1], 1)
    own = scores.gather(-1, index)
    lower = torch.arange(scores.shape[-1], device=scores.device) < index
    return ((scores > own) | ((scores == own) & lower)).sum(-1)


def topk_accuracy(ranks: Tensor) -> TopkAccuracy:
    """Sum up the ranks of the true classes.

    Parameters
    ----------
    ranks : Tensor of shape (M,), int64
        As `true_class_ranks` gives them.

    Returns
    -------
    TopkAccuracy
        Over all of them.
    """
    percent = 100 / len(ranks)
    return TopkAccuracy(int((ranks < 1).sum()) * percent, int((ranks < 5).sum()) * percent)


def per_class(ranks: Tensor, labels: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """Give the top-1 of each class.

    Parameters
    ----------
    ranks : Tensor of shape (M,), int64
        As `true_class_ranks` gives them.
    labels : Tensor of shape (M,), int64
        The true classes.
    classes : sequence of str
        Their names.

    Returns
    -------
    dict of str to float
        Per cent of the images of each class; a class without images is skipped.
    """
    total = torch.bincount(labels, minlength=len(classes)).tolist()
    right = torch.bincount(labels[ranks < 1], minlength=len(classes)).tolist()
    return {
        name: 100 * hits / images
        for name, hits, images in zip(classes, right, total, strict=True)
        if images
    }
