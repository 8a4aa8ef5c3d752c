"""Optimisers: LARS against its definition in a loop, and who is left alone."""

import copy
import io
import math

import torch
from torch import nn
from torch.testing import assert_close

from dilo.train.engine.optim import make_optimizer
from dilo.train.networks.heads import Classifier
from dilo.train.recipes.recipe import OptimizerRecipe
from dilo.train.recipes.saliency_recipe import SaliencyOptimizerRecipe

LARS = OptimizerRecipe(name="lars", lr=2.0, momentum=0.9, weight_decay=0.01)


class Network(nn.Module):
    """Of each kind of tensor one: adapted or not, frozen, zero, without gradient."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.zero = nn.Parameter(torch.zeros(4, 4))
        self.unused = nn.Parameter(torch.ones(2, 2))
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
        self.still = nn.Parameter(torch.zeros(2, 2))
        self.head = Classifier(4, 2)

    def forward(self, images):
        hidden = self.norm(self.conv(images)).mean((2, 3))
        return self.head(hidden + hidden @ self.zero).square().mean() + 0 * self.still.sum()


def literal(weights, gradient, velocity, rate, *, apart):
    """Take a step of one tensor, number by number."""
    values, found = weights.flatten().tolist(), gradient.flatten().tolist()
    decay, ratio = (0.0 if apart else 0.01), 1.0
    changes = [g + decay * w for g, w in zip(found, values, strict=True)]
    if not apart:
        length = math.sqrt(sum(w * w for w in values))
        change = math.sqrt(sum(c * c for c in changes))
        ratio = 0.001 * length / change if length > 0 and change > 0 else 1.0
    moved = [0.9 * v + rate * ratio * c for v, c in zip(velocity, changes, strict=True)]
    after = [w - v for w, v in zip(values, moved, strict=True)]
    return torch.tensor(after, dtype=weights.dtype).view_as(weights), moved


APART = {"conv.bias", "norm.weight", "norm.bias", "head.weight", "head.bias"}


def batch(seed):
    return torch.randn(5, 3, 6, 6, generator=torch.Generator().manual_seed(seed)).double()


def step(network, optimizer, seed, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    network(batch(seed)).backward()
    optimizer.step()


def test_lars_is_its_definition_read_literally():
    network = Network().double()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    velocities = {name: [0.0] * p.numel() for name, p in before.items()}
    optimizer = make_optimizer(network, LARS)
    # The rate changes from step to step, and momentum keeps the one it was gathered at.
    for seed, rate in enumerate((2.0, 0.5, 1.5)):
        step(network, optimizer, seed, rate)
        for name, parameter in network.named_parameters():
            if parameter.grad is None:
                assert torch.equal(parameter, before[name])
                continue
            before[name], velocities[name] = literal(
                before[name], parameter.grad, velocities[name], rate, apart=name in APART
            )
            assert_close(parameter.detach(), before[name], msg=name)
    assert network.zero.any()


def test_lars_goes_on_exactly_from_a_checkpoint_of_plain_values():
    whole, cut = Network().double(), Network().double()
    optimizer = make_optimizer(whole, LARS)
    for seed in range(4):
        step(whole, optimizer, seed, 1.0)
    first = make_optimizer(cut, LARS)
    step(cut, first, 0, 1.0)
    step(cut, first, 1, 1.0)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    cut = copy.deepcopy(cut)
    second = make_optimizer(cut, LARS)
    second.load_state_dict(torch.load(file, weights_only=True))
    step(cut, second, 2, 1.0)
    step(cut, second, 3, 1.0)
    for ours, theirs in zip(cut.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_sgd_decays_every_trained_parameter_as_moco_does():
    network = Network()
    optimizer = make_optimizer(network, OptimizerRecipe(lr=0.5, weight_decay=0.1))
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.5, 0.9, 0.1)
    assert len(group["params"]) == sum(p.requires_grad for p in network.parameters())


def test_a_step_gives_what_its_closure_does():
    network = Network().double()
    optimizer = make_optimizer(network, LARS)

    def closure():
        loss = network(batch(0))
        loss.backward()
        return loss

    assert optimizer.step(closure).item() > 0


def test_lars_never_asks_for_the_value_of_a_tensor():
    # Which would wait for a GPU; tensors on "meta" have no values to give.
    network = Network().to("meta")
    optimizer = make_optimizer(network, LARS)
    for parameter in network.parameters():
        parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    assert len(optimizer.state) == sum(p.requires_grad for p in network.parameters())


def test_adam_decays_all_and_adamw_the_weights_of_convolutions_and_matrices_alone():
    network = Network()
    adam = make_optimizer(network, SaliencyOptimizerRecipe(lr=0.1, weight_decay=0.2))
    assert isinstance(adam, torch.optim.Adam)
    assert not isinstance(adam, torch.optim.AdamW)
    (group,) = adam.param_groups
    assert (group["lr"], group["betas"], group["eps"]) == (0.1, (0.9, 0.999), 1e-8)
    assert group["weight_decay"] == 0.2
    recipe = OptimizerRecipe(name="adamw", momentum=0.8, weight_decay=0.2)
    adamw = make_optimizer(network, recipe)
    assert isinstance(adamw, torch.optim.AdamW)
    assert {group["betas"] for group in adamw.param_groups} == {(0.8, 0.999)}
    decays = {id(w): g["weight_decay"] for g in adamw.param_groups for w in g["params"]}
    decayed = {name for name, w in network.named_parameters() if decays.get(id(w))}
    assert decayed == {"conv.weight", "zero", "unused", "still", "head.weight"}
    assert id(network.frozen) not in decays
