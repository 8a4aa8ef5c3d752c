"""What the training loop asks of a method."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class StepOutput:
    """What one step of a method came to.

    Attributes
    ----------
    loss : Tensor of shape (), float32
        To differentiate.
    scalars : dict of str to Tensor
        What else to record, detached, each of shape ().
    """

    loss: Tensor
    scalars: dict[str, Tensor]


class Method(nn.Module):
    """A contrastive method; its state dict is the ``state_dict`` of a checkpoint."""

    @abstractmethod
    def forward(self, first: Tensor, second: Tensor, shuffle: Tensor) -> StepOutput:
        """Turn two views of a batch into a loss, updating keys and memory.

        Parameters
        ----------
        first, second : Tensor of shape (B, 3, H, W), float32
            Two views of the same images, normalised.
        shuffle : Tensor of shape (B,), int64
            A permutation drawn for this step.

        Returns
        -------
        StepOutput
            Loss and scalars.
        """
