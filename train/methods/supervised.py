"""Supervised training: what pretraining without labels is measured against."""

from typing import ClassVar

from torch.nn import functional

from dilo.pipeline.errors import RecipeError
from dilo.train.methods.base import Method, StepOutput, TrainingSet, ViewBatch
from dilo.train.networks.encoder import build_encoder
from dilo.train.recipes.recipe import Recipe


class Supervised(Method):
    """A classifier of the folders that the images lie in.

    Parameters
    ----------
    recipe : Recipe
        Network, batch-norm groups and seed.
    data : TrainingSet
        How many classes.

    Raises
    ------
    RecipeError
        If there are no classes, or a projection head is asked for.
    """

    view_count: ClassVar[int] = 1
    needs_labels: ClassVar[bool] = True

    def __init__(self, recipe: Recipe, data: TrainingSet) -> None:
        super().__init__()
        if not data.classes:
            raise RecipeError(
                "method supervised needs classes, got images without: each image must lie in "
                "a folder named after its class"
            )
        if recipe.model.head != "linear":
            raise RecipeError(
                "model.head must be 'linear' with method supervised, which ends in a classifier, "
                f"got {recipe.model.head!r}"
            )
        self.encoder_q = build_encoder(recipe, classes=data.classes)

    def forward(self, batch: ViewBatch) -> StepOutput:
        """Compute the loss of classifying each view.

        Parameters
        ----------
        batch : ViewBatch
            One view, and labels.

        Returns
        -------
        StepOutput
            Cross-entropy, and the share of samples whose class was told.

        Raises
        ------
        ValueError
            If there are no labels.
        """
        if batch.labels is None:
            raise ValueError("labels must be given to method supervised, got none")
        logits = self.encoder_q(batch.views[0]).float()
        accuracy = (logits.detach().argmax(1) == batch.labels).float().mean()
        return StepOutput(functional.cross_entropy(logits, batch.labels), {"accuracy": accuracy})
