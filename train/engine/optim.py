"""Optimisers, and the learning rate at each step."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from dilo.train.networks.heads import Classifier
from dilo.train.recipes.recipe import OptimizerRecipe


class Lars(torch.optim.Optimizer):
    """SGD with momentum whose steps are, layer by layer, a share of the weights' length.

    With decay d, trust t, momentum m and rate r, a step makes of a gradient g, weights w and
    their momentum v::

        u = g + d w
        v = m v + r (t |w| / |u|) u
        w = w - v

    where the ratio is 1 if either length is 0, or the group is not adapted. A momentum keeps
    the rate at which it was gathered, as in the SimCLR repository.

    Parameters
    ----------
    params : iterable
        Parameters, or groups of them; a group may set `weight_decay` and `adapt` for itself.
    lr : float
        The rate r.
    momentum : float, default 0.9
        The momentum m.
    weight_decay : float, default 0
        The decay d.
    trust : float, default 0.001
        The trust t.

    References
    ----------
    .. [1] Y. You, I. Gitman and B. Ginsburg, "Large Batch Training of Convolutional
       Networks", 2017.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(params, defaults | {"adapt": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step, without waiting for the device."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._step(weights, group)
        return loss

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """Take a step of one group."""
        updates = [weight.grad for weight in weights if weight.grad is not None]
        if group["weight_decay"]:
            updates = list(torch._foreach_add(updates, weights, alpha=group["weight_decay"]))
        if group["adapt"]:
            ratios = _ratios(weights, updates, group["trust"])
            updates = list(torch._foreach_mul(updates, ratios))
        for weight in weights:
            if "momentum_buffer" not in self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        velocities: list[Tensor] = [self.state[weight]["momentum_buffer"] for weight in weights]
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, updates, alpha=group["lr"])
        torch._foreach_sub_(weights, velocities)


def _ratios(weights: list[Tensor], updates: list[Tensor], trust: float) -> list[Tensor]:
    """Compare the lengths of weights and updates: what each update is multiplied by."""
    lengths = torch.stack(torch._foreach_norm(weights))
    changes = torch.stack(torch._foreach_norm(updates))
    nonzero = (lengths > 0) & (changes > 0)
    ratios = torch.where(nonzero, trust * lengths / changes, 1.0)
    return list(ratios.to(updates[0].dtype).unbind())


def make_optimizer(model: nn.Module, settings: OptimizerRecipe) -> torch.optim.Optimizer:
    """Make the optimiser of a model's trainable parameters.

    SGD and Adam decay every parameter, batch norm and biases too, as the MoCo repository does.
    AdamW does not decay these. LARS neither decays nor adapts them, nor the weights of a
    `Classifier`, as the SimCLR repository does.
    """
    lr, momentum, decay = settings.lr, settings.momentum, settings.weight_decay
    trainable = [p for p in model.parameters() if p.requires_grad]
    if settings.name == "sgd":
        return torch.optim.SGD(trainable, lr=lr, momentum=momentum, weight_decay=decay)
    betas = momentum, 0.999
    if settings.name == "adam":
        return torch.optim.Adam(trainable, lr=lr, betas=betas, weight_decay=decay)
    lars = settings.name == "lars"
    classifiers = {
        id(p) for m in model.modules() if isinstance(m, Classifier) for p in m.parameters()
    }
    undecayed = {id(p) for p in trainable if p.ndim <= 1 or (lars and id(p) in classifiers)}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trainable if id(p) not in undecayed]},
        {"params": [p for p in trainable if id(p) in undecayed], "weight_decay": 0.0},
    ]
    if lars:
        groups[1]["adapt"] = False
        return Lars(groups, lr=lr, momentum=momentum, weight_decay=decay)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, weight_decay=decay)


def base_rate(optimizer: OptimizerRecipe) -> float:
    """Scale the rate of a recipe to its batch.

    References
    ----------
    .. [1] P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017.

    Examples
    --------
    >>> from dilo.train.recipes.recipe import OptimizerRecipe
    >>> base_rate(OptimizerRecipe(lr=0.03, lr_batch=256, batch=512))
    0.06
    """
    ratio = optimizer.batch / optimizer.lr_batch
    factor = {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}[optimizer.scaling]
    return optimizer.lr * factor


def learning_rate(optimizer: OptimizerRecipe, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step, which is counted from 0.

    Examples
    --------
    >>> from dilo.train.recipes.recipe import OptimizerRecipe
    >>> moco = OptimizerRecipe(lr=0.03, milestones=(120, 160))
    >>> [round(learning_rate(moco, 100 * epoch, 100), 6) for epoch in (0, 119, 120, 160)]
    [0.03, 0.03, 0.003, 0.0003]
    """
    rate = base_rate(optimizer)
    warmup_steps = round(optimizer.warmup * steps_per_epoch)
    if step < warmup_steps:
        return rate * step / warmup_steps
    if optimizer.schedule == "constant":
        return rate
    if optimizer.schedule == "step":
        decays = sum(step // steps_per_epoch >= epoch for epoch in optimizer.milestones)
        return float(rate * 0.1**decays)
    if optimizer.by == "epoch":
        # The epoch in which a warm-up ends may have begun before that: it is at the top.
        step = max(step // steps_per_epoch * steps_per_epoch, warmup_steps)
    progress = (step - warmup_steps) / (optimizer.epochs * steps_per_epoch - warmup_steps)
    return rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def describe_extension(
    before: OptimizerRecipe, now: OptimizerRecipe, step: int, steps_per_epoch: int
) -> str:
    """Describe what a schedule makes of a finished run that is given more epochs.

    Examples
    --------
    >>> from dilo.train.recipes.recipe import OptimizerRecipe
    >>> moco = {"lr": 0.03, "schedule": "step", "milestones": (120, 160)}
    >>> before, now = (OptimizerRecipe(epochs=epochs, **moco) for epochs in (200, 300))
    >>> describe_extension(before, now, 20_000, 100)
    'extended from 200 to 300 epochs: the learning rate stays at 0.0003, past all milestones'
    """
    last = learning_rate(before, step - 1, steps_per_epoch)
    first = learning_rate(now, step, steps_per_epoch)
    change = f"stays at {first:.3g}"
    if first != last:
        verb, up = ("jumps", "up ") if first > last else ("falls", "")
        change = f"{verb} from {last:.3g} {up}to {first:.3g}"
    line = f"extended from {before.epochs} to {now.epochs} epochs: the learning rate {change}"
    if now.schedule == "cosine":
        return (
            f"{line}, where the cosine over {now.epochs} epochs is, and falls to 0 again; a run of "
            f"{now.epochs} epochs from the beginning has other rates"
        )
    if now.schedule == "constant":
        return line
    ahead = [str(epoch) for epoch in now.milestones if before.epochs < epoch < now.epochs]
    course = f"and is divided by 10 at epoch {', '.join(ahead)}" if ahead else "past all milestones"
    return f"{line}, {course}"


def describe_rate(optimizer: OptimizerRecipe) -> str:
    """Describe where the base rate comes from.

    Examples
    --------
    >>> from dilo.train.recipes.recipe import OptimizerRecipe
    >>> describe_rate(OptimizerRecipe(lr=0.03, lr_batch=256, batch=512))
    'learning rate 0.06: 0.03 for a batch of 256, scaled linearly to 512'
    """
    rate = f"learning rate {base_rate(optimizer):g}"
    if optimizer.scaling == "none":
        return f"{rate}, whatever the batch"
    if optimizer.batch == optimizer.lr_batch:
        return f"{rate} for a batch of {optimizer.batch}"
    rule = {"linear": "linearly", "sqrt": "by the square root"}[optimizer.scaling]
    stated = f"{optimizer.lr:g} for a batch of {optimizer.lr_batch}"
    return f"{rate}: {stated}, scaled {rule} to {optimizer.batch}"
