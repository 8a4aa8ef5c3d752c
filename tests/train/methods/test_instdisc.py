"""Instance discrimination: the released code's steps read literally."""

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
from dilo.train.methods.instdisc import InstDisc
from dilo.train.methods.memory_bank import sample_negatives
from dilo.train.recipes.recipe import MemoryRecipe, ModelRecipe, OptimizerRecipe, Recipe

DATA = TrainingSet(40)
MEMORY = MemoryRecipe(negatives=12, momentum=0.6, temperature=0.2)
RECIPE = Recipe(
    method="instdisc",
    model=ModelRecipe(arch="resnet18", stem="small", dim=8, bn_groups=2),
    memory=MEMORY,
    optimizer=OptimizerRecipe(batch=8),
)
SOFTMAX = dataclasses.replace(MEMORY, loss="softmax")
FULL = dataclasses.replace(SOFTMAX, negatives=0)


def recipe_of(memory):
    return dataclasses.replace(RECIPE, memory=memory)


def doubled(settings=MEMORY):
    """Build with the encoder in double precision: batch norm of four magnifies rounding."""
    method = InstDisc(recipe_of(settings), DATA)
    method.encoder_q.double()
    return method


def batch_of(step=0, part=0, count=8):
    generator = torch.Generator().manual_seed(step)
    view = torch.randn(count, 3, 8, 8, generator=generator)
    samples = torch.randperm(DATA.images, generator=generator)[:count]
    return ViewBatch(views=(view,), samples=samples, step=step, part=part)


def literal(features, memory, slots, settings, z):
    """Add up the loss of a batch, one slot at a time."""
    losses, noise = [], settings.negatives / len(memory)
    for feature, row in zip(features, slots.tolist(), strict=True):
        chosen = row if settings.negatives else [row[0], *range(len(memory))]
        own, *others = (math.exp(float(feature @ memory[i]) / settings.temperature) for i in chosen)
        if settings.loss == "nce":
            own, others = own / z, [other / z for other in others]
            loss = -math.log(own / (own + noise + 1e-7))
            loss -= sum(math.log(noise / (other + noise + 1e-7)) for other in others)
        else:
            loss = -math.log(own / (sum(others) + (own if settings.negatives else 0)))
        losses.append(loss)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("settings", [MEMORY, SOFTMAX, FULL], ids=["nce", "softmax", "full"])
def test_a_step_is_the_released_codes(settings):
    method = doubled(settings)
    network, memory = copy.deepcopy(method.encoder_q), method.memory.clone()
    for step in range(2):
        batch = batch_of(step)
        batch = dataclasses.replace(batch, views=(batch.views[0].double(),))
        method.begin_step()
        output = method(batch)
        assert torch.equal(method.memory, memory)  # nothing is written before the step is done
        method.end_step()

        features = functional.normalize(network(batch.views[0]).float(), dim=1).detach()
        slots = sample_negatives(batch, DATA.images, settings.negatives, RECIPE.seed)
        if step == 0:
            scores = [
                math.exp(float(f @ memory[i]) / settings.temperature)
                for f, row in zip(features, slots.tolist(), strict=True)
                for i in row
            ]
            z = DATA.images * sum(scores) / len(scores)
        expected = literal(features, memory, slots, settings, z)
        assert output.loss.item() == pytest.approx(expected, rel=1e-5)
        for sample, feature in zip(batch.samples, features, strict=True):
            moved = settings.momentum * memory[sample] + (1 - settings.momentum) * feature
            memory[sample] = moved / moved.norm()
        assert_close(method.memory, memory)
        memory = method.memory.clone()
    found = z if settings.loss == "nce" else -1.0
    assert_close(
        method.params, torch.tensor([settings.negatives, settings.temperature, found, 0.6])
    )


@pytest.mark.parametrize("settings", [MEMORY, FULL], ids=["nce", "full"])
def test_gradient_reaches_the_encoder_and_never_the_memory(settings):
    method = InstDisc(recipe_of(settings), DATA)
    method(batch_of()).loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in method.encoder_q.parameters())
    assert not method.memory.requires_grad
    assert [name for name, _ in method.named_buffers() if "." not in name] == ["memory", "params"]


def test_parts_of_a_batch_are_all_remembered():
    method = InstDisc(RECIPE, DATA)
    before, batch = method.memory.clone(), batch_of()
    for part in range(2):
        views = (batch.views[0].chunk(2)[part],)
        method(ViewBatch(views=views, samples=batch.samples.chunk(2)[part], step=0, part=part))
    method.end_step()
    changed = (method.memory != before).any(1).nonzero().squeeze(1)
    assert changed.tolist() == sorted(batch.samples.tolist())
    again = method.memory.clone()
    method.end_step()  # nothing is left to write
    assert torch.equal(method.memory, again)


def test_two_ranks_learn_what_one_does(monkeypatch):
    # Built beforehand: threads would share the generator that weights are drawn from.
    methods = [doubled() for _ in range(3)]

    def work(rank, ranks=2):
        method, losses = methods[rank], []
        for step in range(2):
            batch = batch_of(step)
            mine = ViewBatch(
                views=(batch.views[0].double().chunk(ranks)[rank % ranks],),
                samples=batch.samples.chunk(ranks)[rank % ranks],
                step=step,
            )
            losses.append(method(mine).loss.detach())
            method.end_step()
        return torch.stack(losses), method.memory, method.params

    losses, memory, params = work(2, 1)
    (first, *held), (second, *other) = on_ranks(monkeypatch, 2, work)
    assert_close((first + second) / 2, losses)
    assert_close(held, [memory, params])
    assert all(torch.equal(one, two) for one, two in zip(held, other, strict=True))


def test_a_run_goes_on_from_its_state_dict_to_the_last_bit():
    method = InstDisc(RECIPE, DATA)
    method(batch_of())
    method.end_step()
    resumed = InstDisc(dataclasses.replace(RECIPE, seed=0), DATA)
    resumed.load_state_dict(method.state_dict())
    assert torch.equal(resumed(batch_of(1)).loss, method(batch_of(1)).loss)


def test_the_state_dict_has_the_repositorys_names():
    method = METHODS["instdisc"](RECIPE, DATA)
    assert isinstance(method, InstDisc)
    assert method.view_count == 1
    assert method.encoders() == (method.encoder_q,)
    state = method.state_dict()
    assert {name.partition(".")[0] for name in state} == {"encoder_q", "memory", "params"}
    assert state["memory"].shape == (40, 8)
    assert_close(state["params"], torch.tensor([12.0, 0.2, -1.0, 0.6]))
    assert state["encoder_q.fc.weight"].shape == (8, 512)


def test_memory_and_weights_follow_from_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again = InstDisc(RECIPE, DATA), InstDisc(RECIPE, DATA)
    assert torch.equal(torch.get_rng_state(), before)
    other = InstDisc(dataclasses.replace(RECIPE, seed=1), DATA)
    assert torch.equal(first.memory, again.memory)
    assert not torch.equal(first.memory, other.memory)


def test_nce_without_negatives_is_refused():
    with pytest.raises(RecipeError, match=r"memory.negatives must be at least 1"):
        InstDisc(recipe_of(dataclasses.replace(MEMORY, negatives=0)), DATA)
