"""Contrastive multiview coding: luminance and colour of one image, each told by the other."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn

from dilo.pipeline.errors import RecipeError
from dilo.train.methods.base import Method, StepOutput, TrainingSet, ViewBatch
from dilo.train.methods.losses import l2_normalize
from dilo.train.methods.memory_bank import (
    init_bank,
    instance_loss,
    require_negatives,
    sample_negatives,
    update,
)
from dilo.train.networks.encoder import build_encoder
from dilo.train.recipes.recipe import Recipe

#: Spaces of one channel of luminance and two of colour.
SPACES = ("lab", "ycbcr", "ydbdr")


class CMC(Method):
    """Two encoders, of luminance and of colour, and a memory bank for each.

    What the networks are called, ``l_to_ab`` and ``ab_to_l``, and the buffers,
    ``memory_l``, ``memory_ab`` and ``params`` (K, temperature, Z of luminance, Z of colour,
    momentum), is the CMC repository's. A Z is -1 until the first batch, or its first part,
    sets it.

    Parameters
    ----------
    recipe : Recipe
        Networks, memory, space of the views, and seed.
    data : TrainingSet
        How many images.

    Raises
    ------
    RecipeError
        If the views are not of luminance and colour, or NCE is to do without negatives.

    References
    ----------
    .. [1] Y. Tian, D. Krishnan and P. Isola, "Contrastive Multiview Coding", ECCV 2020.
    """

    view_count: ClassVar[int] = 1
    memory_l: Tensor
    memory_ab: Tensor
    params: Tensor

    def __init__(self, recipe: Recipe, data: TrainingSet) -> None:
        super().__init__()
        if recipe.views.space not in SPACES:
            raise RecipeError(
                f"views.space must be one of {', '.join(SPACES)} for CMC, which splits luminance "
                f'from colour, got {recipe.views.space}: --set views.space="lab"'
            )
        require_negatives(recipe.memory)
        self.seed, self.settings = recipe.seed, recipe.memory
        self.l_to_ab = build_encoder(recipe, channels=1)
        # Counted down from the largest seed: weights that no other run has either.
        colour_recipe = dataclasses.replace(recipe, seed=2**64 - 1 - recipe.seed)
        self.ab_to_l = build_encoder(colour_recipe, channels=2)
        generator = torch.Generator().manual_seed(recipe.seed)
        for name in ("memory_l", "memory_ab"):
            self.register_buffer(name, init_bank(data.images, recipe.model.dim, generator))
        k, tau, m = self.settings.negatives, self.settings.temperature, self.settings.momentum
        self.register_buffer("params", torch.tensor([k, tau, -1.0, -1.0, m]))
        self._step_features: list[tuple[Tensor, Tensor, Tensor]] = []

    def encoders(self) -> tuple[nn.Module, ...]:
        """Return both encoders.

        Returns
        -------
        tuple of Module
            Of luminance, and of colour.
        """
        return (self.l_to_ab, self.ab_to_l)

    def forward(self, batch: ViewBatch) -> StepOutput:
        """Compute the loss of telling an image's colour by its luminance, and the other way round.

        Parameters
        ----------
        batch : ViewBatch
            One view.

        Returns
        -------
        StepOutput
            Sum of both losses; mean logits and accuracy, means of both ways.
        """
        (view,) = batch.views
        light, colour = (
            l2_normalize(self.l_to_ab(view[:, :1])),
            l2_normalize(self.ab_to_l(view[:, 1:])),
        )
        self._step_features.append((batch.samples, light.detach(), colour.detach()))
        slots = sample_negatives(batch, len(self.memory_l), self.settings.negatives, self.seed)
        light_output = instance_loss(light, self.memory_ab, slots, self.settings, self.params[2])
        colour_output = instance_loss(colour, self.memory_l, slots, self.settings, self.params[3])
        scalars = {
            name: (value + colour_output.scalars[name]) / 2
            for name, value in light_output.scalars.items()
        }
        return StepOutput(light_output.loss + colour_output.loss, scalars)

    def end_step(self) -> None:
        """Write the features of the step into both memories."""
        for samples, light, colour in self._step_features:
            update(self.memory_l, samples, light, self.settings.momentum)
            update(self.memory_ab, samples, colour, self.settings.momentum)
        self._step_features.clear()
