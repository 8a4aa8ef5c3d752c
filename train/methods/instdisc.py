"""Instance discrimination: each image a class of its own, told by a memory of its past views."""

from typing import ClassVar

import torch
from torch import Tensor

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


class InstDisc(Method):
    """An encoder and a memory bank with a slot for each image.

    The encoder is named as the MoCo repository's, ``encoder_q``, so that its tools read the
    checkpoints; ``memory`` and ``params``, K, temperature, Z and momentum, are the InstDisc
    repository's. Z is -1 until the first batch, or its first part, sets it.

    Parameters
    ----------
    recipe : Recipe
        Network, memory and seed.
    data : TrainingSet
        How many images.

    Raises
    ------
    RecipeError
        If NCE is to do without negatives.

    References
    ----------
    .. [1] Z. Wu, Y. Xiong, S. Yu and D. Lin, "Unsupervised Feature Learning via
       Non-Parametric Instance Discrimination", CVPR 2018.
    """

    view_count: ClassVar[int] = 1
    memory: Tensor
    params: Tensor

    def __init__(self, recipe: Recipe, data: TrainingSet) -> None:
        super().__init__()
        require_negatives(recipe.memory)
        self.seed, self.settings = recipe.seed, recipe.memory
        self.encoder_q = build_encoder(recipe)
        generator = torch.Generator().manual_seed(recipe.seed)
        self.register_buffer("memory", init_bank(data.images, recipe.model.dim, generator))
        k, tau, m = self.settings.negatives, self.settings.temperature, self.settings.momentum
        self.register_buffer("params", torch.tensor([k, tau, -1.0, m]))
        self._step_features: list[tuple[Tensor, Tensor]] = []

    def forward(self, batch: ViewBatch) -> StepOutput:
        """Compute the loss of telling each image's slot from others.

        Parameters
        ----------
        batch : ViewBatch
            One view.

        Returns
        -------
        StepOutput
            Loss, mean logits, accuracy.
        """
        (view,) = batch.views
        features = l2_normalize(self.encoder_q(view))
        self._step_features.append((batch.samples, features.detach()))
        slots = sample_negatives(batch, len(self.memory), self.settings.negatives, self.seed)
        return instance_loss(features, self.memory, slots, self.settings, self.params[2])

    def end_step(self) -> None:
        """Write the features of the step into the memory."""
        for samples, features in self._step_features:
            update(self.memory, samples, features, self.settings.momentum)
        self._step_features.clear()
