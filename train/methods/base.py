"""What the training loop asks of a method, and what it gives it."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dilo.train.augment.swaps import Swaps
from dilo.train.networks.weights import PREFIX


@dataclass(frozen=True)
class TrainingSet:
    """What a method may need to know of the images before it sees one.

    Attributes
    ----------
    images : int
        How many there are: samples are numbered from 0 to images - 1.
    classes : int
        How many classes; 0 where there are no labels.
    """

    images: int
    classes: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class ViewBatch:
    """One rank's share of a batch, or of a part of one where gradients are accumulated.

    Attributes
    ----------
    views : tuple of Tensor of shape (B, 3, H, W), float32
        Of the same images, as many as the method asks for; in the colours that the recipe's
        `views.space` names.
    samples : Tensor of shape (B,), int64
        Which images; different ones.
    step : int
        Optimiser steps taken before this one.
    part : int, default 0
        Which part of the batch, where gradients are accumulated.
    labels : Tensor of shape (B,), int64, optional
        Class of each; given where the method needs them.
    masks : tuple of Tensor of shape (B, 1, H, W), float32
        Saliency in the views, in [0, 1]; empty unless the method needs them.
    swaps : Swaps, optional
        The first views with the foregrounds of other images; given where the recipe has
        `moco.swap_negatives`.
    """

    views: tuple[Tensor, ...]
    samples: Tensor
    step: int
    part: int = 0
    labels: Tensor | None = None
    masks: tuple[Tensor, ...] = ()
    swaps: Swaps | None = None


@dataclass(frozen=True, eq=False)
class StepOutput:
    """What one step of a method came to.

    Attributes
    ----------
    loss : Tensor of shape (), float32
        To differentiate; the mean over this rank's samples.
    scalars : dict of str to Tensor
        What else to record, detached, each of shape (): where they make sense,
        `positive` and `negative`, the mean logits, and `accuracy`, the share of samples
        whose own positive is the closest.
    """

    loss: Tensor
    scalars: dict[str, Tensor]

    @classmethod
    def mean(cls, outputs: Sequence["StepOutput"]) -> "StepOutput":
        """Average what the parts of a batch came to.

        Parameters
        ----------
        outputs : sequence of StepOutput
            One a part, with the same scalars.

        Returns
        -------
        StepOutput
            Means of the losses and of the scalars.
        """
        if len(outputs) == 1:
            return outputs[0]
        scalars = {
            name: torch.stack([output.scalars[name] for output in outputs]).mean()
            for name in outputs[0].scalars
        }
        return cls(torch.stack([output.loss for output in outputs]).mean(), scalars)


class TrainableModel(nn.Module):
    """A model that is trained: from the parts of a batch to losses, one optimiser step a batch.

    One optimiser step is `begin_step`, a `forward` for each part of the batch, which gives a
    `StepOutput`, backward and the optimiser, and `end_step`.
    """

    def begin_step(self) -> None:
        """Prepare an optimiser step; nothing, unless a class says otherwise."""

    def end_step(self) -> None:
        """Finish an optimiser step; nothing, unless a class says otherwise."""

    def checkpoint(self) -> dict[str, Any]:
        """Return the weights, as the MoCo repository saves them: a `state_dict`.

        Returns
        -------
        dict
            `state_dict`, with the prefix of a network wrapped for many devices; a class may add
            parts under other names.
        """
        return {"state_dict": {PREFIX + name: value for name, value in self.state_dict().items()}}

    def load_checkpoint(self, content: Mapping[str, Any]) -> None:
        """Load the weights of a checkpoint.

        Parameters
        ----------
        content : mapping
            What `checkpoint` gave, and more.
        """
        state = content["state_dict"].items()
        self.load_state_dict({name.removeprefix(PREFIX): value for name, value in state})


class Method(TrainableModel):
    """A method of pretraining; its state dict is the ``state_dict`` of a checkpoint.

    What a step remembers of its samples, it writes into memory in `end_step`, from all ranks, so
    that all ranks hold the same.

    Attributes
    ----------
    view_count : int
        Views of each image that it wants.
    needs_masks, needs_labels : bool
        Whether it wants the saliency in the views, or the classes of the images.
    encoder_q : Module
        The network that is trained, by the MoCo repository's name for it, so that its tools
        read the checkpoints; a method of several overrides `encoders`.
    """

    view_count: ClassVar[int] = 2
    needs_masks: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    encoder_q: nn.Module

    @abstractmethod
    def forward(self, batch: ViewBatch) -> StepOutput:
        """Turn a batch into a loss.

        Parameters
        ----------
        batch : ViewBatch
            Views of this rank's samples.

        Returns
        -------
        StepOutput
            Loss and scalars.
        """

    def encoders(self) -> tuple[nn.Module, ...]:
        """Return the networks that are trained, for the evaluations.

        Returns
        -------
        tuple of Module
            Each a trunk that ends in a projection head called `fc`; the one called
            ``encoder_q``, unless a method says otherwise.
        """
        return (self.encoder_q,)
