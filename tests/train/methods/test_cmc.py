"""Contrastive multiview coding: the released code's steps read literally."""

import copy
import dataclasses
import math

import pytest
import torch
from support.ranks import on_ranks
from torch.nn import functional
from torch.testing import assert_close

from dilo.pipeline.errors import RecipeError
from dilo.train.methods import METHODS
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.methods.cmc import CMC
from dilo.train.methods.memory_bank import sample_negatives
from dilo.train.recipes.recipe import (
    MemoryRecipe,
    ModelRecipe,
    OptimizerRecipe,
    Recipe,
    ViewsRecipe,
)

DATA = TrainingSet(40)
MEMORY = MemoryRecipe(negatives=12, momentum=0.6, temperature=0.2)
RECIPE = Recipe(
    method="cmc",
    model=ModelRecipe(arch="resnet18", stem="small", dim=8, bn_groups=2),
    memory=MEMORY,
    views=ViewsRecipe(space="lab"),
    optimizer=OptimizerRecipe(batch=8),
)
SOFTMAX = dataclasses.replace(MEMORY, loss="softmax")


def batch_of(step=0):
    generator = torch.Generator().manual_seed(step)
    view = torch.randn(8, 3, 8, 8, generator=generator)
    samples = torch.randperm(DATA.images, generator=generator)[:8]
    return ViewBatch(views=(view,), samples=samples, step=step)


def doubled(recipe=RECIPE):
    """Build with encoders in double precision: batch norm of four magnifies rounding."""
    method = CMC(recipe, DATA)
    for encoder in method.encoders():
        encoder.double()
    return method


def embeddings(network, channels):
    return functional.normalize(network(channels).float(), dim=1).detach()


def scores(features, memory, slots):
    return [
        [math.exp(float(feature @ memory[i]) / MEMORY.temperature) for i in row]
        for feature, row in zip(features, slots.tolist(), strict=True)
    ]


def normalisation(rows):
    return DATA.images * sum(map(sum, rows)) / (len(rows) * len(rows[0]))


def literal(rows, loss, z):
    noise, total = MEMORY.negatives / DATA.images, 0.0
    for row in rows:
        if loss == "softmax":
            total -= math.log(row[0] / sum(row))
        else:
            own, *others = (score / z for score in row)
            total -= math.log(own / (own + noise + 1e-7))
            total -= sum(math.log(noise / (other + noise + 1e-7)) for other in others)
    return total / len(rows)


@pytest.mark.parametrize("settings", [MEMORY, SOFTMAX], ids=["nce", "softmax"])
def test_a_step_is_the_released_codes(settings):
    method = doubled(dataclasses.replace(RECIPE, memory=settings))
    l_to_ab, ab_to_l = copy.deepcopy(method.l_to_ab), copy.deepcopy(method.ab_to_l)
    old_l, old_ab = method.memory_l.clone(), method.memory_ab.clone()
    batch = batch_of()
    view = batch.views[0].double()
    output = method(dataclasses.replace(batch, views=(view,)))
    assert torch.equal(method.memory_l, old_l)
    assert torch.equal(method.memory_ab, old_ab)
    method.end_step()

    light, colour = embeddings(l_to_ab, view[:, :1]), embeddings(ab_to_l, view[:, 1:])
    slots = sample_negatives(batch, DATA.images, settings.negatives, RECIPE.seed)
    there, back = scores(light, old_ab, slots), scores(colour, old_l, slots)
    z_l, z_ab = normalisation(there), normalisation(back)
    expected = literal(there, settings.loss, z_l) + literal(back, settings.loss, z_ab)
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    hits = [sum(row[0] == max(row) for row in rows) for rows in (there, back)]
    assert output.scalars["accuracy"].item() == pytest.approx(sum(hits) / 16)
    if settings.loss == "softmax":
        z_l = z_ab = -1.0
    assert_close(method.params, torch.tensor([12, 0.2, z_l, z_ab, 0.6]))
    for old, new, features in (
        (old_l, method.memory_l, light),
        (old_ab, method.memory_ab, colour),
    ):
        for sample, feature in zip(batch.samples, features, strict=True):
            moved = 0.6 * old[sample] + 0.4 * feature
            old[sample] = moved / moved.norm()
        assert_close(new, old)


def test_gradient_reaches_both_encoders_and_no_memory():
    method = CMC(RECIPE, DATA)
    method(batch_of()).loss.backward()
    assert method.encoders() == (method.l_to_ab, method.ab_to_l)
    for encoder in method.encoders():
        assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())
    assert not any(memory.requires_grad for memory in (method.memory_l, method.memory_ab))


def test_two_ranks_learn_what_one_does(monkeypatch):
    # Built beforehand: threads would share the generator that weights are drawn from.
    methods = [doubled() for _ in range(3)]

    def work(rank, ranks=2):
        method, batch = methods[rank], batch_of()
        views = (batch.views[0].double().chunk(ranks)[rank % ranks],)
        samples = batch.samples.chunk(ranks)[rank % ranks]
        loss = method(ViewBatch(views=views, samples=samples, step=0)).loss.detach()
        method.end_step()
        return loss, method.memory_l, method.memory_ab, method.params

    loss, *memory = work(2, 1)
    (first, *held), (second, *other) = on_ranks(monkeypatch, 2, work)
    assert_close((first + second) / 2, loss)
    assert_close(held, memory)
    assert all(torch.equal(one, two) for one, two in zip(held, other, strict=True))


def test_encoders_and_memories_differ_from_each_other_and_from_the_next_seeds():
    method, following = CMC(RECIPE, DATA), CMC(dataclasses.replace(RECIPE, seed=1), DATA)
    deep = [one.layer1[0].conv1.weight for m in (method, following) for one in m.encoders()]
    memories = [memory for m in (method, following) for memory in (m.memory_l, m.memory_ab)]
    for tensors in (deep, memories):
        assert len({tuple(tensor.flatten().tolist()[:5]) for tensor in tensors}) == 4
    assert torch.equal(CMC(RECIPE, DATA).ab_to_l.fc.weight, method.ab_to_l.fc.weight)


def test_the_state_dict_has_the_repositorys_names():
    method = METHODS["cmc"](RECIPE, DATA)
    assert isinstance(method, CMC)
    assert method.view_count == 1
    state = method.state_dict()
    names = {"l_to_ab", "ab_to_l", "memory_l", "memory_ab", "params"}
    assert {name.partition(".")[0] for name in state} == names
    assert state["memory_l"].shape == state["memory_ab"].shape == (40, 8)
    assert_close(state["params"], torch.tensor([12.0, 0.2, -1.0, -1.0, 0.6]))
    assert state["l_to_ab.conv1.weight"].shape[1] == 1
    assert state["ab_to_l.conv1.weight"].shape[1] == 2


@pytest.mark.parametrize("space", ["rgb", "unit"])
def test_views_without_luminance_and_colour_are_refused(space):
    with pytest.raises(
        RecipeError, match=rf"views.space must be .*lab, ycbcr, ydbdr.* got {space}"
    ):
        CMC(dataclasses.replace(RECIPE, views=ViewsRecipe(space=space)), DATA)


def test_nce_without_negatives_is_refused():
    settings = dataclasses.replace(MEMORY, negatives=0)
    with pytest.raises(RecipeError, match=r"memory.negatives must be at least 1"):
        CMC(dataclasses.replace(RECIPE, memory=settings), DATA)
