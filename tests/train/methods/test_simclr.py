"""SimCLR: both views through the encoder at once, and what its batch norm sees."""

import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from dilo.pipeline.errors import RecipeError
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.methods.losses import nt_xent
from dilo.train.methods.simclr import SimCLR
from dilo.train.recipes.recipe import ModelRecipe, OptimizerRecipe, Recipe, SimclrRecipe

DATA = TrainingSet(100)


def recipe(**model):
    model = {"bn_groups": 1, "width": 0.25} | model
    return Recipe(
        method="simclr",
        model=ModelRecipe(arch="resnet18", stem="small", head="simclr", dim=8, **model),
        simclr=SimclrRecipe(temperature=0.3),
        optimizer=OptimizerRecipe(batch=8),
    )


def batch_of(samples=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    views = torch.randn(2, samples, 3, 8, 8, generator=generator).unbind(0)
    return ViewBatch(views=views, samples=torch.arange(samples), step=0)


def test_batch_norm_sees_both_views_at_once():
    method, batch = SimCLR(recipe(), DATA), batch_of()
    embedded = functional.normalize(method.encoder_q(torch.cat(batch.views)), dim=1)
    expected = nt_xent(embedded[:8], embedded[8:], 0.3)
    output = SimCLR(recipe(), DATA)(batch)
    assert_close(output.loss, expected.loss)
    assert output.scalars.keys() == {"positive", "negative", "accuracy"}


def test_groups_of_batch_norm_lie_within_a_view():
    method, batch = SimCLR(recipe(bn_groups=2), DATA), batch_of()
    twin = SimCLR(recipe(bn_groups=2), DATA).encoder_q
    parts = [twin(part) for view in batch.views for part in view.chunk(2)]
    embedded = functional.normalize(torch.cat(parts), dim=1)
    assert_close(method(batch).loss, nt_xent(embedded[:8], embedded[8:], 0.3).loss)
    with pytest.raises(RecipeError, match=r"group of 4 samples must lie .* got 2 samples"):
        method(batch_of(2))


def test_the_gradient_reaches_all_that_is_trained_and_descends():
    method, batch = SimCLR(recipe(), DATA), batch_of()
    assert method.encoders() == (method.encoder_q,)
    trained = [p for p in method.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        losses.append(method(batch).loss)
        losses[-1].backward()
        assert all(p.grad is not None and p.grad.any() for p in trained)
        optimizer.step()
    assert losses[-1] < losses[0]
    assert losses[-1] < 2 * math.log(15)
