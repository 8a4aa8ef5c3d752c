"""Projection heads: their layers, read literally, and what training does to them."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from dilo.train.networks.batchnorm import group_batch_norm
from dilo.train.networks.heads import projection
from dilo.train.recipes.recipe import ModelRecipe


@pytest.mark.parametrize(
    ("head", "names"),
    [
        ("linear", {"weight": (3, 6), "bias": (3,)}),
        ("mlp", {"0.weight": (6, 6), "0.bias": (6,), "2.weight": (3, 6), "2.bias": (3,)}),
    ],
)
def test_mocos_heads_bear_the_names_of_its_repository(head, names):
    state = projection(ModelRecipe(head=head, dim=3), 6).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == names


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_simclrs_head_is_linear_layers_with_batch_norm_and_relu_between(layers):
    torch.manual_seed(0)
    head = projection(ModelRecipe(head="simclr", head_layers=layers, dim=3), 6)
    weights = [module.weight for module in head if isinstance(module, nn.Linear)]
    assert [tuple(weight.shape) for weight in weights] == [(6, 6)] * (layers - 1) + [(3, 6)]
    assert all(module.bias is None for module in head if isinstance(module, nn.Linear))
    features = torch.randn(5, 6)
    expected = features
    for i, weight in enumerate(weights):
        expected = expected @ weight.T
        spread = (expected.var(0, unbiased=False) + 1e-5).sqrt()
        expected = (expected - expected.mean(0)) / spread
        if i < layers - 1:
            expected = functional.relu(expected)
    assert_close(head(features), expected)


@pytest.mark.parametrize("size", [None, 4])
def test_the_last_batch_norm_never_shifts_in_whatever_groups(size):
    plain = projection(ModelRecipe(head="simclr", dim=3), 6)
    head = group_batch_norm(copy.deepcopy(plain), size)
    trained = [p for p in head.parameters() if p.requires_grad]
    assert len(trained) == len(list(head.parameters())) - 1
    optimizer = torch.optim.SGD(trained, lr=1.0, weight_decay=0.1)
    head(torch.randn(8, 6)).cos().sum().backward()
    optimizer.step()
    assert not head[-1].bias.any()
    assert head[1].bias.any()
    plain.load_state_dict(head.state_dict())
