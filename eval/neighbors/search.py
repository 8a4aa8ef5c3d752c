"""The nearest images to each query, by one checkpoint, and how often they are of its class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dilo.eval.features.features import Features
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.errors import DiloError
from dilo.train.monitor.knn import knn_scores
from dilo.train.monitor.nearest import nearest

#: Neighbours that vote on a query's class, and the temperature of their weights.
VOTERS, TEMPERATURE = 20, 0.07


@dataclass(frozen=True, eq=False)
class Neighbors:
    """What a checkpoint finds most similar to each query."""

    #: What the checkpoint is called.
    name: str
    #: What made the features.
    encoder: Encoder
    #: Cosines, largest first; of shape (Q, K), float32.
    similarities: Tensor
    #: Rows of the bank; of shape (Q, K), int64.
    rows: Tensor
    #: Whether a neighbour is of the query's class; False where either has none; of shape (Q, K),
    #: bool.
    same: Tensor
    #: The class that the first `VOTERS` neighbours vote for; -1 where the bank has no classes; of
    #: shape (Q,), int64.
    votes: Tensor
    #: Whether that is the query's; of shape (Q,), bool.
    right: Tensor

    @property
    def voters(self) -> int:
        """Count the neighbours that vote."""
        return min(VOTERS, self.rows.shape[1])

    def precision(self, k: int) -> float:
        """Give the share of neighbours that are of the query's class."""
        return 100 * float(self.same[:, :k].double().mean())

    def accuracy(self) -> float:
        """Give the share of queries that the vote classifies rightly."""
        return 100 * float(self.right.double().mean())


def find_neighbors(
    name: str,
    encoder: Encoder,
    bank: Features,
    queries: Features | None,
    k: int,
    device: torch.device | None = None,
) -> Neighbors:
    """Find the nearest images of the bank to each query."""
    others = candidate_count(bank, k, itself=queries is None)
    similarities, rows = _nearest(bank, queries, min(max(k, VOTERS), others), device)
    labels, truth = bank.labels[rows], (bank if queries is None else queries).labels
    votes = torch.full_like(truth, -1)
    if bank.classes:
        scores = knn_scores(
            similarities[:, :VOTERS],
            labels[:, :VOTERS],
            temperature=TEMPERATURE,
            classes=len(bank.classes),
        )
        votes = scores.argmax(1)
    same = (labels == truth[:, None]) & (truth >= 0)[:, None]
    return Neighbors(
        name, encoder, similarities, rows, same, votes, (votes == truth) & (truth >= 0)
    )


def candidate_count(bank: Features | LabelledFolder, k: int, *, itself: bool) -> int:
    """Count the images that a query can be compared with."""
    others = len(bank.labels) - itself
    if k > others:
        raise DiloError(
            f"--k must be at most {others}, the images of {bank.root} that a query can be "
            f"compared with, got {k}: give more images, or a smaller --k"
        )
    return others


def _nearest(
    bank: Features, queries: Features | None, count: int, device: torch.device | None
) -> tuple[Tensor, Tensor]:
    """Find neighbours; of images of the bank, without the image itself."""
    if queries is not None:
        matches = nearest(bank.vectors, queries.vectors, k=count, device=device)
        return matches[0].cpu(), matches[1].cpu()
    matches = nearest(bank.vectors, bank.vectors, k=count + 1, device=device)
    similarities, rows = matches[0].cpu(), matches[1].cpu()
    own = rows == torch.arange(len(rows))[:, None]
    # Of an image with many copies its own row may not be among the nearest: the last one goes.
    own[~own.any(1), -1] = True
    return similarities[~own].view(-1, count), rows[~own].view(-1, count)
