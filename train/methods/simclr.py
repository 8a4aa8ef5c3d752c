"""SimCLR: each view of an image finds the other among all views of the batch."""

import torch

from dilo.pipeline.errors import RecipeError
from dilo.train.methods.base import Method, StepOutput, TrainingSet, ViewBatch
from dilo.train.methods.losses import l2_normalize, nt_xent
from dilo.train.networks.encoder import build_encoder
from dilo.train.recipes.recipe import Recipe


class SimCLR(Method):
    """One encoder and no memory: the other samples of the batch are the negatives.

    With one batch-norm group, statistics are over both views of the samples of all ranks, as
    in the SimCLR repository. Where gradients are accumulated, each part of the batch contrasts,
    and normalises, within itself: it is another, smaller task than that of the whole batch.

    Parameters
    ----------
    recipe : Recipe
        Network, temperature, batch-norm groups and seed.
    data : TrainingSet
        Not needed.

    References
    ----------
    .. [1] T. Chen et al., "A Simple Framework for Contrastive Learning of Visual
       Representations", ICML 2020, algorithm 1.
    """

    def __init__(self, recipe: Recipe, data: TrainingSet) -> None:
        super().__init__()
        self.temperature = recipe.simclr.temperature
        groups = recipe.model.bn_groups
        self.group = recipe.optimizer.batch // groups if groups > 1 else 1
        self.encoder_q = build_encoder(recipe)

    def forward(self, batch: ViewBatch) -> StepOutput:
        """Contrast both views of this rank's samples with those of all.

        Parameters
        ----------
        batch : ViewBatch
            Two views.

        Returns
        -------
        StepOutput
            Loss, mean logits, accuracy.

        Raises
        ------
        RecipeError
            If a batch-norm group would hold samples of both views.
        """
        samples = len(batch.views[0])
        if samples % self.group:
            raise RecipeError(
                f"a batch-norm group of {self.group} samples must lie within one view, got "
                f"{samples} samples a process and part: set model.bn_groups = 1, or use fewer "
                "processes or parts"
            )
        first, second = l2_normalize(self.encoder_q(torch.cat(batch.views))).chunk(2)
        return nt_xent(first, second, self.temperature)
