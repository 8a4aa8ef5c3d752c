"""Features as rows, in memory or in a file: a part held out, their scale, their order."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dilo.pipeline.common.rng import generator, permutation
from dilo.train.monitor.nearest import Matrix

#: What a stream of numbers is for, beside the seed.
HELD, ORDER = 100, 101


#: The share of the training images by which the rate is chosen: one in so many of each class.
ONE_IN = 10


#: Rows read together, and rows mixed together, of features in a file: each read is of neighbours,
#: who are mostly of one class, and each mixture is of two thousand places of the file.
READ, MIXED = 64, 131_072


#: A feature that hardly varies is divided by at least this share of the mean deviation.
LEAST_DEVIATION = 1e-3


class Standardizer(NamedTuple):
    """What standardizes features: each has mean 0 and deviation 1 over the training images."""

    #: Of each feature, of shape (D,), float32.
    mean: Tensor
    deviation: Tensor

    def transform(self, rows: Tensor) -> Tensor:
        """Standardize features.

        Parameters
        ----------
        rows : Tensor of shape (B, D), float32
            Features.

        Returns
        -------
        Tensor of shape (B, D), float32
            Each with mean 0 and deviation 1, over the training images.
        """
        return (rows - self.mean) / self.deviation

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Turn a layer of standardized features into the same layer of features as they are.

        Parameters
        ----------
        weight : Tensor of shape (C, D), float32
            One row a class.
        bias : Tensor of shape (C,), float32
            One value a class.

        Returns
        -------
        weight, bias : Tensor
            With ``weight' x + bias'`` what ``weight (x - mean) / deviation + bias`` is.
        """
        exact = weight.double() / self.deviation.double()
        return exact.float(), (bias.double() - exact @ self.mean.double()).float()


def holdout_mask(labels: Tensor, seed: int) -> Tensor:
    """Hold out a tenth of each class, at least one image of a class that has two.

    Parameters
    ----------
    labels : Tensor of shape (M,), int64
        Classes of the training images.
    seed : int
        Of the choice.

    Returns
    -------
    Tensor of shape (M,), bool
        Whether an image is held out.
    """
    numbers = labels.numpy()
    order = permutation(generator(seed, HELD), len(numbers))
    order = order[np.argsort(numbers[order], kind="stable")]
    counts = np.bincount(numbers)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    wanted = np.where(counts > 1, np.maximum(1, np.rint(counts / ONE_IN)), 0)
    held = torch.zeros(len(numbers), dtype=torch.bool)
    held[torch.from_numpy(order[place < np.repeat(wanted, counts)])] = True
    return held


def fit_standardizer(
    rows: Matrix, used: Tensor, device: torch.device, chunk: int = 4096
) -> Standardizer:
    """Find mean and deviation of each feature.

    Parameters
    ----------
    rows : Tensor of shape (M, D), float32, or alike
        Features.
    used : Tensor of shape (M,), bool
        Which of them count.
    device : torch.device
        Where to compute, and where they will be.
    chunk : int, default 4096
        Rows read at once.

    Returns
    -------
    Standardizer
        Of the rows used.
    """
    total = squares = torch.zeros(int(rows.shape[1]), dtype=torch.float64, device=device)
    for start in range(0, len(rows), chunk):
        part = slice(start, start + chunk)
        block = rows[part][used[part]].to(device).double()
        total, squares = total + block.sum(0), squares + block.square().sum(0)
    count = int(used.sum())
    mean = total / count
    deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
    least = max(LEAST_DEVIATION * float(deviation.mean()), 1e-12)
    return Standardizer(mean.float(), deviation.clamp(min=least).float())


def shuffled_batches(
    rows: Matrix, labels: Tensor, used: Tensor, *, batch: int, seed: int, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Visit the rows once, in an order that reads a file in runs and still mixes its classes.

    Parameters
    ----------
    rows : Tensor of shape (M, D), float32, or alike
        Features.
    labels : Tensor of shape (M,), int64
        Their classes.
    used : Tensor of shape (M,), bool
        Which of them to visit.
    batch : int
        Rows given at once; fewer at the end of what is mixed together.
    seed, epoch : int
        Of the order.

    Yields
    ------
    Tensor of shape (B, D), float32
        Features.
    Tensor of shape (B,), int64
        Their classes.
    """
    runs = -(-len(rows) // READ)
    numbers = generator(seed, ORDER, 0, 0, epoch)
    order = permutation(numbers, runs).tolist()
    for first in range(0, runs, MIXED // READ):
        spans = [slice(READ * run, READ * run + READ) for run in order[first:][: MIXED // READ]]
        mixed = torch.cat([rows[span][used[span]] for span in spans])
        truth = torch.cat([labels[span][used[span]] for span in spans])
        shuffled = torch.from_numpy(permutation(numbers, len(mixed)))
        for begin in range(0, len(mixed), batch):
            index = shuffled[begin : begin + batch]
            yield mixed[index], truth[index]
