"""The supervised baseline: cross-entropy over classes, and what it refuses."""

import math

import pytest
import torch

from dilo.pipeline.errors import RecipeError
from dilo.train.engine.optim import make_optimizer
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.methods.supervised import Supervised
from dilo.train.recipes.recipe import ModelRecipe, OptimizerRecipe, Recipe

RECIPE = Recipe(
    method="supervised",
    model=ModelRecipe(arch="resnet18", stem="small", dim=8, width=0.25, bn_groups=2),
    optimizer=OptimizerRecipe(batch=8, name="lars"),
)
DATA = TrainingSet(100, classes=5)
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])


def batch_of(labels):
    views = (torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)),)
    return ViewBatch(views=views, samples=torch.arange(8), step=0, labels=labels)


def test_the_loss_is_cross_entropy_and_accuracy_the_share_that_is_told():
    method, batch = Supervised(RECIPE, DATA), batch_of(LABELS)
    logits = Supervised(RECIPE, DATA).encoder_q(batch.views[0]).tolist()
    costs = [
        math.log(sum(map(math.exp, row))) - row[label]
        for row, label in zip(logits, LABELS.tolist(), strict=True)
    ]
    told = [
        row.index(max(row)) == label for row, label in zip(logits, LABELS.tolist(), strict=True)
    ]
    output = method(batch)
    assert output.loss.item() == pytest.approx(sum(costs) / 8, rel=1e-5)
    assert output.scalars["accuracy"].item() == sum(told) / 8
    output.loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in method.parameters())


def test_it_asks_for_one_view_and_labels_and_ends_in_a_classifier():
    method = Supervised(RECIPE, DATA)
    assert (method.view_count, method.needs_labels, method.needs_masks) == (1, True, False)
    assert method.encoder_q.fc.weight.shape == (5, 128)
    assert method.encoders() == (method.encoder_q,)
    with pytest.raises(ValueError, match="labels must be given"):
        method(batch_of(None))


def test_lars_leaves_the_classifier_alone():
    method = Supervised(RECIPE, DATA)
    adapted, apart = make_optimizer(method, RECIPE.optimizer).param_groups
    assert any(p is method.encoder_q.fc.weight for p in apart["params"])
    assert (apart["adapt"], apart["weight_decay"]) == (False, 0.0)
    assert all(p.ndim == 4 for p in adapted["params"])


@pytest.mark.parametrize(
    ("recipe", "data", "message"),
    [
        (RECIPE, TrainingSet(100), "must lie in a folder named after its class"),
        (Recipe(model=ModelRecipe(head="mlp")), DATA, "model.head must be 'linear' .* got 'mlp'"),
    ],
)
def test_what_makes_no_classifier_is_refused(recipe, data, message):
    with pytest.raises(RecipeError, match=message):
        Supervised(recipe, data)
