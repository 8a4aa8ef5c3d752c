"""The linear layer of a probe, its optimiser, and the loss of the epoch under way."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from dilo.eval.linear.data import UNLABELLED
from dilo.eval.linear.protocols import Protocol
from dilo.pipeline.errors import CheckpointError
from dilo.train.runtime.devices import move


class LinearClassifier:
    """A linear layer that learns from features, a batch at a time.

    Its weights at the beginning follow from the seed alone, the same on every machine and rank.
    """

    def __init__(
        self, width: int, classes: int, protocol: Protocol, device: torch.device, seed: int
    ) -> None:
        numbers = torch.Generator().manual_seed(seed)
        weight = torch.empty(classes, width).normal_(0, protocol.init_std, generator=numbers)
        self._weight = nn.Parameter(weight.to(device))
        self._bias = nn.Parameter(torch.zeros(classes, device=device))
        self._optimizer = torch.optim.SGD(
            [self._weight, self._bias],
            lr=protocol.lr,
            momentum=protocol.momentum,
            nesterov=protocol.nesterov,
            weight_decay=protocol.weight_decay,
        )
        self._loss = torch.zeros((), dtype=torch.float64, device=device)  # the sum over `seen`
        #: Images learnt from in this epoch so far.
        self.seen = 0

    @property
    def weight(self) -> Tensor:
        """Give the weights, of shape (C, D), one row a class."""
        return self._weight.detach()

    @property
    def bias(self) -> Tensor:
        """Give the biases, of shape (C,)."""
        return self._bias.detach()

    @property
    def lr(self) -> float:
        """Give the learning rate of the last step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def step(self, features: Tensor, labels: Tensor, lr: float) -> None:
        """Take a step.

        Parameters
        ----------
        features : Tensor of shape (B, D), float32
            On the device.
        labels : Tensor of shape (B,), int64
            On the CPU; -1 of rows that are not to be learnt from. If all are, nothing is done.
        lr : float
            The learning rate.
        """
        count = int((labels != UNLABELLED).sum())
        if not count:
            return
        self._optimizer.param_groups[0]["lr"] = lr
        scores = nn.functional.linear(features, self._weight, self._bias)
        loss = cross_entropy(scores, move(labels, scores.device), ignore_index=UNLABELLED)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._loss += loss.detach().double() * count
        self.seen += count

    def mean_loss(self) -> float:
        """Give the mean loss of this epoch so far in nats, each image's as it was when met."""
        mean = float(self._loss) / max(self.seen, 1)
        if not abs(mean) < float("inf"):  # written so that NaN is refused too
            raise CheckpointError(
                f"the loss must stay finite, got {mean} with a learning rate of {self.lr:g}: "
                "give a smaller --lr"
            )
        return mean

    def start_epoch(self) -> None:
        """Forget the losses of the epoch that ended."""
        self._loss.zero_()
        self.seen = 0

    def state(self) -> dict[str, Any]:
        """Give all that resuming needs: tensors and plain values."""
        return {
            "weight": self.weight,
            "bias": self.bias,
            "optimizer": self._optimizer.state_dict(),
            "loss": float(self._loss),
            "seen": self.seen,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        with torch.no_grad():
            self._weight.copy_(state["weight"])
            self._bias.copy_(state["bias"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._loss.fill_(state["loss"])
        self.seen = state["seen"]
