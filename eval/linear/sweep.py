"""Many linear layers in one pass over features made once, each at a learning rate of its own."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dilo.eval.linear.feature_batches import Standard, batches, held_out, standardise
from dilo.eval.linear.scoring import places_of
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.train.monitor.nearest import Matrix

#: Tried unless others are given: what serves standardised features of 128 to 4096 values.
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
DECAYS = (0.0, 1e-4, 1e-2)
#: Points by which two shares of the same images differ through rounding alone.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is tried.

    Attributes
    ----------
    rates : tuple of float
        Learning rates, for features that are standardised.
    decays : tuple of float
        Weight decays, each tried with every rate.
    epochs, batch : int
        Passes over the features, and rows of a step.
    momentum : float
        Of SGD.
    seed : int
        Of the part held out, and of the order.
    """

    rates: tuple[float, ...] = RATES
    decays: tuple[float, ...] = DECAYS
    epochs: int = 30
    batch: int = 256
    momentum: float = 0.9
    seed: int = 0

    @property
    def settings(self) -> list[tuple[float, float]]:
        """Pair every rate with every decay.

        Returns
        -------
        list of (float, float)
            Rate and decay of each layer.
        """
        return [(rate, decay) for decay in self.decays for rate in self.rates]


@dataclass(frozen=True)
class Tried:
    """A layer of a sweep.

    Attributes
    ----------
    lr, weight_decay : float
        What it was trained with.
    top1 : float or None
        Per cent of the part held out; None where it diverged.
    loss : float or None
        Mean there, in nats.
    """

    lr: float
    weight_decay: float
    top1: float | None
    loss: float | None


class Swept(NamedTuple):
    """What a sweep found.

    Attributes
    ----------
    weight : Tensor of shape (C, D), float32
        Of the best layer, for features as they are, on the CPU.
    bias : Tensor of shape (C,), float32
        Of the best layer.
    tried : tuple of Tried
        Every layer.
    best : Tried
        Of those whose top-1 on the part held out is within the noise of the highest, the one
        with the smallest loss.
    held_out : int
        Images of that part.
    noise : float
        Points of top-1 that so many images do not tell apart.
    near : int
        Layers within the noise of the highest.
    """

    weight: Tensor
    bias: Tensor
    tried: tuple[Tried, ...]
    best: Tried
    held_out: int
    noise: float
    near: int


def sweep(
    rows: Matrix,
    labels: Tensor,
    classes: int,
    asked: Sweep,
    *,
    device: torch.device | None = None,
    progress: Callable[[int], object] | None = None,
) -> Swept:
    """Train one layer a setting, all over the same batches, and choose one by the part held out.

    Parameters
    ----------
    rows : Tensor of shape (M, D), float32, or alike
        Features of the training images, not normalised.
    labels : Tensor of shape (M,), int64
        Their classes.
    classes : int
        How many classes.
    asked : Sweep
        What to try.
    device : torch.device, optional
        Where to compute; the CPU by default.
    progress : callable, optional
        Called with the number of rows learnt from since the last call.

    Returns
    -------
    Swept
        The best layer, and how all did.

    Raises
    ------
    CheckpointError
        If every layer diverged.
    DiloError
        If no class has two images.
    """
    device = device or torch.device("cpu")
    held = held_out(labels, asked.seed)
    if not bool(held.any()):
        raise DiloError(
            "the training images must hold a class of at least 2 images, to choose the learning "
            f"rate by, got {len(labels)} images in {classes} classes: give more"
        )
    standard = standardise(rows, ~held, device)
    layers = _Layers(classes, int(rows.shape[1]), asked, device)
    learnt, total = 0, int((~held).sum()) * asked.epochs
    for epoch in range(asked.epochs):
        order = batches(rows, labels, ~held, batch=asked.batch, seed=asked.seed, epoch=epoch)
        for part, truth in order:
            share = 0.5 * (1 + math.cos(math.pi * learnt / total))
            layers.learn(standard.standardised(part.to(device)), truth.to(device), share)
            learnt += len(part)
            if progress is not None:
                progress(len(part))
    tried = layers.judged(rows, labels, held, standard)
    images = int(held.sum())
    best, noise, near = choose(tried, images)
    weight, bias = standard.folded(layers.weight[best], layers.bias[best])
    return Swept(weight.cpu(), bias.cpu(), tried, tried[best], images, noise, near)


def choose(tried: Sequence[Tried], images: int) -> tuple[int, float, int]:
    """Choose a layer by the part held out, whose few images may not tell the best apart.

    Parameters
    ----------
    tried : sequence of Tried
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
    >>> choose([Tried(1.0, 0.0, 60.0, 14.0), Tried(0.1, 0.0, 55.0, 1.0)], 20)
    (1, 10.954451150103322, 2)
    """
    sound = [
        (one.loss, number, one.top1)
        for number, one in enumerate(tried)
        if one.top1 is not None and one.loss is not None
    ]
    if not sound:
        raise CheckpointError(
            f"a layer must stay finite at one of {len(tried)} settings, but all diverged: the "
            "features are not sound; take another checkpoint"
        )
    highest = max(top1 for _, _, top1 in sound)
    noise = max(math.sqrt(highest * (100 - highest) / images), 100 / images)
    near = [one for one in sound if one[2] >= highest - noise - ROUNDING]
    return min(near)[1], noise, len(near)


class _Layers:
    """L layers as one: a batch goes through all of them in one product, and back in another."""

    def __init__(self, classes: int, width: int, asked: Sweep, device: torch.device) -> None:
        count = len(asked.settings)
        self.asked = asked
        self.rate, self.decay = torch.tensor(asked.settings, device=device).T
        self.weight = torch.zeros(count, classes, width, device=device)
        self.bias = torch.zeros(count, classes, device=device)
        self.moved = torch.zeros_like(self.weight), torch.zeros_like(self.bias)

    def learn(self, rows: Tensor, truth: Tensor, share: float) -> None:
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
            moved.mul_(self.asked.momentum).add_(gradient)
            values -= share * self.rate.view(shape) * moved

    def scores(self, rows: Tensor) -> Tensor:
        """Score (B, D) rows by every layer: (L, B, C)."""
        count, classes, _ = self.weight.shape
        scores = torch.addmm(self.bias.flatten(), rows, self.weight.flatten(0, 1).T)
        return scores.view(len(rows), count, classes).transpose(0, 1)

    def judged(
        self, rows: Matrix, labels: Tensor, held: Tensor, standard: Standard
    ) -> tuple[Tried, ...]:
        """Score the part held out by every layer; a layer that is not finite counts as diverged."""
        device = self.weight.device
        right = torch.zeros(len(self.asked.settings), dtype=torch.float64, device=device)
        loss = torch.zeros_like(right)
        for start in range(0, len(rows), 4096):
            part = slice(start, start + 4096)
            if not bool(held[part].any()):
                continue
            truth = labels[part][held[part]].to(device)
            scores = self.scores(standard.standardised(rows[part][held[part]].to(device)))
            right += (places_of(scores, truth) < 1).sum(1)
            own = scores.log_softmax(-1).gather(-1, truth[:, None].expand(*scores.shape[:2], 1))
            loss -= own.double().sum((1, 2))
        count = int(held.sum())
        sound = loss.isfinite().tolist()
        return tuple(
            Tried(
                rate,
                decay,
                100 * hits / count if finite else None,
                lost / count if finite else None,
            )
            for (rate, decay), hits, lost, finite in zip(
                self.asked.settings, right.tolist(), loss.tolist(), sound, strict=True
            )
        )
