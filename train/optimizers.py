"""The optimisers: SGD as MoCo has it, and LARS as SimCLR has it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from dilo.train.heads import Classifier
from dilo.train.recipe import OptimizerRecipe


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
        """Take a step, without waiting for the device.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss anew.

        Returns
        -------
        object
            What the closure gives, or None.
        """
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
    known = (lengths > 0) & (changes > 0)
    ratios = torch.where(known, trust * lengths / changes, 1.0)
    return list(ratios.to(updates[0].dtype).unbind())


def make_optimizer(method: nn.Module, settings: OptimizerRecipe) -> torch.optim.Optimizer:
    """Make the optimiser of a method's trainable parameters.

    SGD decays every parameter, batch norm and biases too, as the MoCo repository does. LARS
    neither decays nor adapts these, nor the weights of a `Classifier`, as the SimCLR
    repository does.

    Parameters
    ----------
    method : Module
        Of which the parameters that require a gradient are trained.
    settings : OptimizerRecipe
        Name, rate, momentum and decay.

    Returns
    -------
    Optimizer
        Its state dict holds tensors and plain values alone.
    """
    lr, momentum, decay = settings.lr, settings.momentum, settings.weight_decay
    trained = [p for p in method.parameters() if p.requires_grad]
    if settings.name == "sgd":
        return torch.optim.SGD(trained, lr=lr, momentum=momentum, weight_decay=decay)
    classifiers = {
        id(p) for m in method.modules() if isinstance(m, Classifier) for p in m.parameters()
    }
    apart = [p.ndim <= 1 or id(p) in classifiers for p in trained]
    groups = [
        {"params": [p for p, is_apart in zip(trained, apart, strict=True) if not is_apart]},
        {
            "params": [p for p, is_apart in zip(trained, apart, strict=True) if is_apart],
            "weight_decay": 0.0,
            "adapt": False,
        },
    ]
    return Lars(groups, lr=lr, momentum=momentum, weight_decay=decay)
