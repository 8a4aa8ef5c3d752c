"""A method that learns, as checkpoints hold it: weights, the optimiser's momentum, a scale."""

from dataclasses import dataclass
from typing import Any

import torch

from dilo.train.checkpoint import PREFIX, Learns
from dilo.train.method import Method


@dataclass(frozen=True)
class Learner(Learns):
    """A method that learns.

    Attributes
    ----------
    method : Method
        Networks and memory.
    optimizer : Optimizer
        Its momentum.
    scaler : GradScaler
        Its scale, where gradients are float16.
    """

    method: Method
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    def weights(self) -> dict[str, Any]:
        """Give what is learnt.

        Returns
        -------
        dict
            `state_dict`, as the MoCo repository saves it.
        """
        state = {PREFIX + name: value for name, value in self.method.state_dict().items()}
        return {"state_dict": state}

    def take_up(self, content: dict[str, Any]) -> None:
        """Take up what was learnt.

        Parameters
        ----------
        content : dict
            As `weights` gives it.
        """
        state = {k.removeprefix(PREFIX): v for k, v in content["state_dict"].items()}
        self.method.load_state_dict(state)
