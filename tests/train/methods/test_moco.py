"""Momentum contrast: the paper's algorithm read literally, and its closed forms."""

import copy
import dataclasses
import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from dilo.train.augment.swaps import Swaps
from dilo.train.data.draws import key_shuffle
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.methods.losses import moco_logits
from dilo.train.methods.moco import MoCo
from dilo.train.methods.momentum import ema_update
from dilo.train.recipes import load_recipe
from dilo.train.recipes.recipe import MocoRecipe, ModelRecipe, OptimizerRecipe, Recipe

RECIPE = Recipe(
    model=ModelRecipe(arch="resnet18", stem="small", head="mlp", dim=8, bn_groups=2),
    moco=MocoRecipe(queue=20, momentum=0.9, temperature=0.2),
    optimizer=OptimizerRecipe(batch=8),
)


DATA = TrainingSet(100)


def step_of(views, step=0):
    return ViewBatch(views=views, samples=torch.arange(len(views[0])), step=step)


def views(seed=0, batch=8):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, batch, 3, 8, 8, generator=generator).unbind(0)


def test_a_step_is_the_papers_algorithm():
    moco = MoCo(RECIPE, DATA)
    generator = torch.Generator().manual_seed(1)
    # Encoders in double precision: batch norm of four samples magnifies rounding.
    moco.encoder_q.double()
    moco.encoder_k.double()
    with torch.no_grad():
        for parameter in moco.encoder_q.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.01 * noise)
    literal, queue = copy.deepcopy(moco), moco.queue.clone()
    first, second = (view.double() for view in views())
    shuffle = key_shuffle(RECIPE.seed, 3, 8)
    assert sorted(shuffle[:4]) != [0, 1, 2, 3]
    moco.begin_step()
    output = moco(step_of((first, second), 3))
    moco.end_step()

    query = functional.normalize(literal.encoder_q(first).float(), dim=1).detach()
    for slow, fast in zip(
        literal.encoder_k.parameters(), literal.encoder_q.parameters(), strict=True
    ):
        slow.data = 0.9 * slow.data + 0.1 * fast.data
    shuffled = torch.stack([second[i] for i in shuffle])
    encoded = functional.normalize(literal.encoder_k(shuffled).float(), dim=1).detach()
    key = torch.empty_like(encoded)
    for place, sample in enumerate(shuffle.tolist()):
        key[sample] = encoded[place]
    losses, hits = [], 0
    for i in range(8):
        positive = math.exp(float(query[i] @ key[i]) / 0.2)
        negatives = [math.exp(float(query[i] @ queue[:, j]) / 0.2) for j in range(20)]
        losses.append(-math.log(positive / (positive + sum(negatives))))
        hits += positive > max(negatives)
    assert output.loss.item() == pytest.approx(sum(losses) / 8, rel=1e-5)
    assert output.scalars["accuracy"].item() == hits / 8
    assert_close(moco.queue[:, :8], key.T)
    assert torch.equal(moco.queue[:, 8:], queue[:, 8:])
    assert int(moco.queue_ptr) == 8
    for ours, theirs in zip(
        moco.encoder_k.parameters(), literal.encoder_k.parameters(), strict=True
    ):
        assert_close(ours, theirs)


def test_gradient_reaches_the_query_and_never_the_key():
    moco = MoCo(RECIPE, DATA)
    moco(step_of(views())).loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in moco.encoder_q.parameters())
    assert all(p.grad is None for p in moco.encoder_k.parameters())
    assert not moco.queue.requires_grad


@pytest.mark.parametrize(("negatives", "published"), [(65536, 11.0904), (4096, 8.3180)])
def test_identical_embeddings_cost_log_of_the_choices(negatives, published):
    one = functional.normalize(torch.ones(4, 8), dim=1)
    logits = moco_logits(one, one, one[:1].T.expand(8, negatives), 0.07)
    loss = functional.cross_entropy(logits, torch.zeros(4, dtype=torch.int64))
    assert float(loss) == pytest.approx(math.log(negatives + 1), abs=1e-4)
    assert float(loss) == pytest.approx(published, abs=1e-4)


@pytest.mark.parametrize(
    ("temperature", "cosine", "loss"),
    [(0.07, 1.0, 0.087), (0.07, 0.9, 0.32), (0.2, 1.0, 6.19), (0.2, 0.9, 6.69)],
)
def test_the_first_loss_is_the_published_one(temperature, cosine, loss):
    """Random queue, key at a known angle to the query: figures measured on the original."""
    generator = torch.Generator().manual_seed(0)
    draw = functional.normalize(torch.randn(2, 64, 128, generator=generator), dim=2)
    query = draw[0]
    side = functional.normalize(draw[1] - (draw[1] * query).sum(1, keepdim=True) * query, dim=1)
    key = cosine * query + math.sqrt(1 - cosine**2) * side
    queue = functional.normalize(torch.randn(128, 65536, generator=generator), dim=0)
    logits = moco_logits(query, key, queue, temperature)
    found = functional.cross_entropy(logits, torch.zeros(64, dtype=torch.int64))
    assert float(found) == pytest.approx(loss, abs=0.01 if loss > 1 else 0.005)


def test_the_key_encoder_starts_as_the_query_encoder_and_follows_slowly():
    moco = MoCo(RECIPE, DATA)
    for slow, fast in zip(moco.encoder_k.parameters(), moco.encoder_q.parameters(), strict=True):
        assert torch.equal(slow, fast)
    network = torch.nn.Linear(1, 1, bias=False)
    target = copy.deepcopy(network)
    network.weight.data.fill_(1.0)
    target.weight.data.fill_(2.0)
    ema_update(network, target, 0.9)
    assert network.weight.item() == pytest.approx(1.1)


def test_weights_follow_from_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again = MoCo(RECIPE, DATA), MoCo(RECIPE, DATA)
    assert torch.equal(torch.get_rng_state(), before)
    other = MoCo(load_recipe("moco-v2-small", ["seed=1", "moco.queue=20", "model.dim=8"]), DATA)
    assert torch.equal(first.encoder_q.conv1.weight, again.encoder_q.conv1.weight)
    assert not torch.equal(first.queue, other.queue)


@pytest.mark.parametrize(
    ("name", "entries", "head", "parameters"),
    [("moco-v1", 642, "fc.weight", 262_272), ("moco-v2", 646, "fc.0.weight", 4_458_624)],
)
def test_the_state_dict_is_the_moco_repositorys(name, entries, head, parameters):
    moco = MoCo(load_recipe(name), DATA)
    state = moco.state_dict()
    assert len(state) == entries
    assert state["queue"].shape == (128, 65536)
    assert state["queue_ptr"].shape == (1,)
    assert f"encoder_q.{head}" in state
    assert f"encoder_k.{head}" in state
    assert sum(p.numel() for p in moco.encoder_q.fc.parameters()) == parameters
    trunk = sum(p.numel() for p in moco.encoder_q.parameters()) - parameters
    assert trunk == 23_508_032


def test_a_swap_is_one_more_logit_of_the_queries_that_have_one_and_no_key_of_the_queue():
    recipe = dataclasses.replace(RECIPE, moco=dataclasses.replace(RECIPE.moco, swap_negatives=True))
    moco, plain = MoCo(recipe, DATA), MoCo(RECIPE, DATA)
    for method in (moco, plain):
        method.encoder_q.double()
        method.encoder_k.double()
    first, second = (view.double() for view in views())
    swaps = views(seed=1)[0].double()
    present = torch.tensor([True, False, True, True, True, False, True, True])
    batch = dataclasses.replace(step_of((first, second), 3), swaps=Swaps(swaps, present))
    literal, queue = copy.deepcopy(moco), moco.queue.clone()
    output = moco(batch)
    output.loss.backward()
    moco.end_step()

    def embed(network, pictures):
        return functional.normalize(network(pictures).float(), dim=1).detach()

    query = embed(literal.encoder_q, first)
    order = key_shuffle(RECIPE.seed, 3, 8)
    key, swapped = torch.empty(8, 8), torch.empty(8, 8)
    key[order] = embed(literal.encoder_k, second[order])
    swapped[order] = embed(literal.encoder_k, swaps[order])
    losses, hits, logits = [], 0, []
    for i in range(8):
        positive = math.exp(float(query[i] @ key[i]) / 0.2)
        negatives = [math.exp(float(query[i] @ queue[:, j]) / 0.2) for j in range(20)]
        if present[i]:
            logits.append(float(query[i] @ swapped[i]) / 0.2)
            negatives.append(math.exp(logits[-1]))
            hits += positive > negatives[-1]
        losses.append(-math.log(positive / (positive + sum(negatives))))
    assert output.loss.item() == pytest.approx(sum(losses) / 8, rel=1e-5)
    scalars = {name: value.item() for name, value in output.scalars.items()}
    assert scalars["swap"] == pytest.approx(sum(logits) / 6, rel=1e-4)
    assert scalars["swap_accuracy"] == pytest.approx(hits / 6)
    assert scalars["swap_rate"] == 6 / 8
    assert_close(moco.queue[:, :8], key.T)
    assert int(moco.queue_ptr) == 8
    assert all(p.grad is None for p in moco.encoder_k.parameters())
    assert all(p.grad.isfinite().all() for p in moco.encoder_q.parameters())
    # What is recorded of the queue is what a run without swaps records.
    expected = plain(step_of((first, second), 3)).scalars
    assert expected == {name: output.scalars[name] for name in expected}


def test_without_any_swap_the_loss_is_that_of_the_queue():
    recipe = dataclasses.replace(RECIPE, moco=dataclasses.replace(RECIPE.moco, swap_negatives=True))
    none = Swaps(views(seed=1)[0], torch.zeros(8, dtype=torch.bool))
    output = MoCo(recipe, DATA)(dataclasses.replace(step_of(views()), swaps=none))
    assert torch.equal(output.loss, MoCo(RECIPE, DATA)(step_of(views())).loss)
    assert output.scalars["swap"] == output.scalars["swap_accuracy"] == 0
    with pytest.raises(ValueError, match="swaps must be given with moco.swap_negatives, got none"):
        MoCo(recipe, DATA)(step_of(views()))
