"""A method that learns, as checkpoints hold it: weights, the optimiser's momentum, a scale."""

from dataclasses import dataclass
from typing import Any

from dilo.train.checkpoint import PREFIX, Learns
from dilo.train.method import Method


@dataclass(frozen=True)
class Learner(Learns):
    """A method that learns.

    Attributes
    ----------
    method : Method
        Networks and memory.
    """

    method: Method

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
