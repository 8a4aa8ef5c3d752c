"""Many linear layers in one pass over features made once, each at a learning rate of its own."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dilo.eval.linear.feature_batches import (
    Standardizer,
    fit_standardizer,
    holdout_mask,
    shuffled_batches,
)
from dilo.eval.linear.scoring import ranks_of
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.train.monitor.nearest import Matrix

#: Tried unless others are given: what serves standardized features of 128 to 4096 values.
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
DECAYS = (0.0, 1e-4, 1e-2)
#: Points by which two shares of the same images differ through rounding alone.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """What is tried."""

    #: Learning rates, for features that are standardized.
    rates: tuple[float, ...] = RATES
    #: Weight decays, each tried with every rate.
    decays: tuple[float, ...] = DECAYS
    #: Passes over the features.
    epochs: int = 30
    #: Rows of a step.
    batch: int = 256
    #: Of SGD.
    momentum: float = 0.9
    #: Of the held-out part, and of the order.
    seed: int = 0

    @property
    def settings(self) -> list[tuple[float, float]]:
        """Pair every rate with every decay: those of each layer."""
        return [(rate, decay) for decay in self.decays for rate in self.rates]


@dataclass(frozen=True)
class Trial:
    """A layer of a sweep."""

    #: What it was trained with.
    lr: float
    weight_decay: float
    #: Per cent of the held-out part; None where it diverged.
    top1: float | None
    #: Mean there, in nats.
    loss: float | None


class SweepResult(NamedTuple):
    """The best layer of a sweep, and how all did."""

    #: Of the best layer, for features as they are, of shape (C, D), on the CPU.
    weight: Tensor
    #: Of shape (C,).
    bias: Tensor
    #: Every layer.
    trials: tuple[Trial, ...]
    #: Of those whose top-1 on the held-out part is within the noise of the highest, the one with
    #: the smallest loss.
    best: Trial
    #: Images of that part.
    held_out: int
    #: Points of top-1 that so many images do not tell apart.
    noise: float
    #: Layers within the noise of the highest.
    near: int


def sweep(
    rows: Matrix,
    labels: Tensor,
    classes: int,
    config: SweepConfig,
    *,
    device: torch.device | None = None,
    progress: Callable[[int], object] | None = None,
) -> SweepResult:
    """Train one layer a setting, all over the same batches, and choose one by the part held out.

    Parameters
    ----------
    rows : Tensor of shape (M, D), float32, or alike
        Features of the training images, not normalised.
    labels : Tensor of shape (M,), int64
        Their classes.
    classes : int
        How many classes.
    config : SweepConfig
        What to try.
    device : torch.device, optional
        Where to compute; the CPU by default.
    progress : callable, optional
        Called with the number of rows learnt from since the last call.

    Returns
    -------
    SweepResult
        The best layer, and how all did.

    Raises
    ------
    CheckpointError
        If every layer diverged.
    DiloError
        If no class has two images.
    """
    device = device or torch.device("cpu")
    held = holdout_mask(labels, config.seed)
    if not bool(held.any()):
        raise DiloError(
            "the training images must hold a class of at least 2 images, to choose the learning "
            f"rate by, got {len(labels)} images in {classes} classes: give more"
        )
    standard = fit_standardizer(rows, ~held, device)
    layers = _Layers(classes, int(rows.shape[1]), config, device)
    learnt, total = 0, int((~held).sum()) * config.epochs
    for epoch in range(config.epochs):
        order = shuffled_batches(
            rows, labels, ~held, batch=config.batch, seed=config.seed, epoch=epoch
        )
        for part, truth in order:
            share = 0.5 * (1 + math.cos(math.pi * learnt / total))
            layers.step(standard.transform(part.to(device)), truth.to(device), share)
            learnt += len(part)
            if progress is not None:
                progress(len(part))
    trials = layers.evaluate(rows, labels, held, standard)
    images = int(held.sum())
    best, noise, near = choose(trials, images)
    weight, bias = standard.fold(layers.weight[best], layers.bias[best])
    return SweepResult(weight.cpu(), bias.cpu(), trials, trials[best], images, noise, near)


def choose(trials: Sequence[Trial], images: int) -> tuple[int, float, int]:
    """Choose a layer by the part held out, whose few images may not tell the best apart.

    Parameters
    ----------
    trials : sequence of Trial
        Every layer.
    images : int
        Of the part held out.

    Returns
    -------
    best : int
        Place of the layer with the smallest loss among those near the highest top-1.
    noise : float
        How near, in points: a standard error of the highest top-1, and one image at least.
    near : int
        How many layers are.

    Raises
    ------
    CheckpointError
        If every layer diverged.

    Examples
    --------
    >>> choose([Trial(1.0, 0.0, 60.0, 14.0), Trial(0.1, 0.0, 55.0, 1.0)], 20)
    (1, 10.954451150103322, 2)
    """
    sound = [
        (one.loss, number, one.top1)
        for number, one in enumerate(trials)
        if one.top1 is not None and one.loss is not None
    ]
    if not sound:
        raise CheckpointError(
            f"a layer must stay finite at one of {len(trials)} settings, but all diverged: the "
            "features are not sound; take another checkpoint"
        )
    highest = max(top1 for _, _, top1 in sound)
    noise = max(math.sqrt(highest * (100 - highest) / images), 100 / images)
    near = [one for one in sound if one[2] >= highest - noise - ROUNDING]
    return min(near)[1], noise, len(near)


class _Layers:
    """L layers as one: a batch goes through all of them in one product, and back in another."""

    def __init__(self, classes: int, width: int, config: SweepConfig, device: torch.device) -> None:
        count = len(config.settings)
        self.config = config
        self.rate, self.decay = torch.tensor(config.settings, device=device).T
        self.weight = torch.zeros(count, classes, width, device=device)
        self.bias = torch.zeros(count, classes, device=device)
        self.moved = torch.zeros_like(self.weight), torch.zeros_like(self.bias)

    def step(self, rows: Tensor, truth: Tensor, share: float) -> None:
        """Take a step of SGD with momentum, each layer at a share of its own rate."""
        count, classes, _ = self.weight.shape
        # The gradient of the mean cross-entropy by the scores is the probabilities less the truth.
        wrong = self.scores(rows).softmax(-1)
        index = truth[:, None].expand(count, len(rows), 1)
        wrong.scatter_add_(-1, index, wrong.new_full(index.shape, -1.0))
        wrong = wrong.div_(len(rows)).transpose(1, 2).reshape(count * classes, len(rows))
        gradients = (wrong @ rows).view_as(self.weight), wrong.sum(1).view_as(self.bias)
        for values, moved, gradient in zip(
            (self.weight, self.bias), self.moved, gradients, strict=True
        ):
            shape = (count,) + (1,) * (values.ndim - 1)
            gradient += self.decay.view(shape) * values
            moved.mul_(self.config.momentum).add_(gradient)
            values -= share * self.rate.view(shape) * moved

    def scores(self, rows: Tensor) -> Tensor:
        """Score (B, D) rows by every layer: (L, B, C)."""
        count, classes, _ = self.weight.shape
        scores = torch.addmm(self.bias.flatten(), rows, self.weight.flatten(0, 1).T)
        return scores.view(len(rows), count, classes).transpose(0, 1)

    def evaluate(
        self, rows: Matrix, labels: Tensor, held: Tensor, standard: Standardizer
    ) -> tuple[Trial, ...]:
        """Score the part held out by every layer; a layer that is not finite counts as diverged."""
        device = self.weight.device
        right = torch.zeros(len(self.config.settings), dtype=torch.float64, device=device)
        loss = torch.zeros_like(right)
        for start in range(0, len(rows), 4096):
            part = slice(start, start + 4096)
            if not bool(held[part].any()):
                continue
            truth = labels[part][held[part]].to(device)
            scores = self.scores(standard.transform(rows[part][held[part]].to(device)))
            right += (ranks_of(scores, truth) < 1).sum(1)
            own = scores.log_softmax(-1).gather(-1, truth[:, None].expand(*scores.shape[:2], 1))
            loss -= own.double().sum((1, 2))
        count = int(held.sum())
        sound = loss.isfinite().tolist()
        return tuple(
            Trial(
                rate,
                decay,
                100 * hits / count if finite else None,
                lost / count if finite else None,
            )
            for (rate, decay), hits, lost, finite in zip(
                self.config.settings, right.tolist(), loss.tolist(), sound, strict=True
            )
        )
