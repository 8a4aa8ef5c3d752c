"""Weighted nearest neighbours: an evaluation that trains nothing, every k in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dilo.train.monitor.nearest import Matrix, nearest


@dataclass(frozen=True)
class Accuracy:
    """How often the true class is the first, or among the first five, by one k.

    Attributes
    ----------
    k : int
        Neighbours that vote.
    top1, top5 : float
        Per cent of the queries.
    per_class : tuple of float or None
        `top1` of the queries of each class; None for a class that no query is of.
    right : Tensor of shape (Q,), bool
        Of which queries the true class is the first; on the CPU.
    """

    k: int
    top1: float
    top5: float
    per_class: tuple[float | None, ...]
    right: Tensor = field(compare=False, repr=False)


def knn_accuracy(
    bank: Matrix,
    bank_labels: Tensor,
    queries: Matrix,
    query_labels: Tensor,
    *,
    ks: Sequence[int],
    temperature: float,
    classes: int,
    chunk: int = 4096,
    device: torch.device | None = None,
) -> tuple[Accuracy, ...]:
    """Classify each query by the vote of its nearest rows of the bank.

    Parameters
    ----------
    bank : Matrix of shape (M, D), float32
        Features of labelled images; normalised here, and read as `nearest` says.
    bank_labels : Tensor of shape (M,), int64
        Their classes, 0 to `classes` - 1.
    queries : Matrix of shape (Q, D), float32
        Features of the images to classify; normalised here.
    query_labels : Tensor of shape (Q,), int64
        Their true classes.
    ks : sequence of int
        Numbers of neighbours, each between 1 and M.
    temperature : float
        Similarities are divided by it before they are exponentiated.
    classes : int
        Number of classes.
    chunk : int, default 4096
        Rows of queries, and of the bank, compared at once: bounds the memory.
    device : torch.device, optional
        Where to compute; by default where `queries` are.

    Returns
    -------
    tuple of Accuracy
        One for each of `ks`, in their order.

    Raises
    ------
    ValueError
        If a shape, a label, a k, the temperature or the chunk is out of its range.

    Notes
    -----
    The true class counts among the first five only if a neighbour voted for it; between
    equal scores the lower class goes first, and of equally similar rows the earlier one.

    References
    ----------
    .. [1] Z. Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
       Discrimination", CVPR 2018, section 3.4.
    """
    _check_labels("bank", bank, bank_labels, classes)
    _check_labels("queries", queries, query_labels, classes)
    if not ks or min(ks) < 1 or max(ks) > len(bank):
        raise ValueError(f"ks must be between 1 and {len(bank)}, the rows of bank, got {tuple(ks)}")
    similarities, rows = nearest(bank, queries, k=max(ks), chunk=chunk, device=device)
    bank_labels, truth = bank_labels.to(rows.device), query_labels.to(rows.device)
    totals = torch.bincount(truth, minlength=classes)
    right: dict[int, list[Tensor]] = {k: [] for k in ks}
    among_five = dict.fromkeys(ks, 0)
    for start in range(0, len(queries), chunk):
        block = slice(start, start + chunk)
        votes = bank_labels[rows[block]]
        for k in right:
            scores = knn_scores(
                similarities[block, :k], votes[:, :k], temperature=temperature, classes=classes
            )
            rank = _rank(scores, truth[block])
            right[k].append(rank < 1)
            among_five[k] += int((rank < 5).sum())
    percent = 100 / len(queries)
    accuracies = []
    for k in ks:
        hits = torch.cat(right[k])
        correct = torch.bincount(truth[hits], minlength=classes)
        accuracies.append(
            Accuracy(
                k,
                int(correct.sum()) * percent,
                among_five[k] * percent,
                _class_accuracies(correct, totals),
                hits.cpu(),
            )
        )
    return tuple(accuracies)


def _class_accuracies(hits: Tensor, totals: Tensor) -> tuple[float | None, ...]:
    """Return the accuracy by class in per cent; None for a class without queries."""
    pairs = zip(hits.tolist(), totals.tolist(), strict=True)
    return tuple(100 * hit / count if count else None for hit, count in pairs)


def knn_scores(similarities: Tensor, labels: Tensor, *, temperature: float, classes: int) -> Tensor:
    """Sum the weights of the neighbours of each class.

    Parameters
    ----------
    similarities : Tensor of shape (B, k), float32
        Cosine similarities of the neighbours.
    labels : Tensor of shape (B, k), int64
        Their classes.
    temperature : float
        A neighbour of similarity s weighs exp(s / temperature).
    classes : int
        Number of classes.

    Returns
    -------
    Tensor of shape (B, classes), float64
        Logarithm of each class's sum, relative to the weight of the most similar
        neighbour; ``-inf`` for a class without neighbours. In logarithms no weight
        overflows or vanishes, however small the temperature.

    Raises
    ------
    ValueError
        If `temperature` is not positive.

    References
    ----------
    .. [1] Z. Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
       Discrimination", CVPR 2018, section 3.4.

    Examples
    --------
    >>> import torch
    >>> scores = knn_scores(
    ...     torch.tensor([[0.9, 0.9, 0.8]]), torch.tensor([[2, 2, 0]]), temperature=0.1, classes=3
    ... )
    >>> scores.exp().round(decimals=3).tolist()
    [[0.368, 0.0, 2.0]]
    """
    if not temperature > 0:  # written so that NaN is refused too
        raise ValueError(f"temperature must be positive, got {temperature}")
    exact = similarities.double()
    logits = (exact - exact.amax(1, keepdim=True)) / temperature
    empty = logits.new_full((len(logits), classes), -torch.inf)
    strongest = empty.scatter_reduce(1, labels, logits, "amax")
    weights = (logits - strongest.gather(1, labels)).exp()
    return strongest + torch.zeros_like(empty).scatter_add(1, labels, weights).log()


def _rank(scores: Tensor, truth: Tensor) -> Tensor:
    """Count the classes that come before the true one; all of them if nobody voted for it."""
    true_score = scores.gather(1, truth[:, None])
    lower = torch.arange(scores.shape[1], device=scores.device) < truth[:, None]
    ahead = (scores > true_score) | ((scores == true_score) & lower)
    unvoted = true_score[:, 0] == -torch.inf
    return ahead.sum(1).masked_fill(unvoted, torch.iinfo(torch.int64).max)


def _check_labels(name: str, features: Matrix, labels: Tensor, classes: int) -> None:
    """Refuse an empty matrix, and labels that do not fit it."""
    if len(features.shape) != 2 or not len(features) or labels.shape != features.shape[:1]:
        raise ValueError(
            f"{name} must have shape (M, D) with M > 0 and one label a row, "
            f"got {tuple(features.shape)} and labels {tuple(labels.shape)}"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(
            f"labels of {name} must be between 0 and {classes - 1}, "
            f"got {int(labels.min())} to {int(labels.max())}"
        )
