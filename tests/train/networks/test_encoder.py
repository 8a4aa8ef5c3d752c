"""Networks: their sizes as published, torchvision's names and weights, and their features."""

import pytest
import torch
import torchvision
from torch import nn
from torch.testing import assert_close

from dilo.pipeline.errors import RecipeError
from dilo.train.networks.batchnorm import GroupedBatchNorm1d, GroupedBatchNorm2d
from dilo.train.networks.encoder import (
    build_encoder,
    build_network,
    embed_map,
    feature_map,
    pooled_features,
)
from dilo.train.recipes.recipe import ModelRecipe, OptimizerRecipe, Recipe


def recipe_of(**model):
    model = ModelRecipe(arch="resnet18", dim=8, **model)
    return Recipe(model=model, optimizer=OptimizerRecipe(batch=8))


@pytest.mark.parametrize(
    ("width", "parameters", "features"), [(0.5, 12_058_048, 1024), (1.0, 47_531_200, 2048)]
)
def test_a_pair_for_cmc_has_the_published_size(width, parameters, features):
    with torch.device("meta"):
        pair = [build_network(ModelRecipe(width=width), channels=channels) for channels in (1, 2)]
    assert sum(p.numel() for network in pair for p in network.parameters()) == parameters
    assert all(network.fc.in_features == features for network in pair)
    assert [tuple(network.conv1.weight.shape) for network in pair] == [(64, 1, 7, 7), (64, 2, 7, 7)]


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_the_trunk_is_torchvisions_to_the_last_bit(arch):
    torch.manual_seed(3)
    theirs = torchvision.models.get_model(arch, weights=None).state_dict()
    torch.manual_seed(3)
    ours = build_network(ModelRecipe(arch=arch, dim=8)).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[n], theirs[n]) for n in ours if not n.startswith("fc."))


@pytest.mark.parametrize("arch", ["resnet34", "resnet101"])
def test_the_deeper_and_the_shallower_have_torchvisions_layers(arch):
    with torch.device("meta"):
        theirs = torchvision.models.get_model(arch, weights=None).state_dict()
        ours = build_network(ModelRecipe(arch=arch)).state_dict()
    assert list(ours) == list(theirs)


@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_features_before_the_head_are_what_the_head_sees(stem):
    network = build_encoder(recipe_of(stem=stem, width=0.25, bn_groups=1), channels=2).eval()
    images = torch.randn(2, 2, 32, 32)
    features = feature_map(network, images)
    assert features.shape == ((2, 128, 4, 4) if stem == "small" else (2, 128, 1, 1))
    assert_close(pooled_features(network, images), features.mean((2, 3)))
    assert_close(network(images), network.fc(pooled_features(network, images)))
    assert_close(network(images), embed_map(network, features))


def test_a_width_that_leaves_no_channel_is_refused():
    with pytest.raises(RecipeError, match=r"model.width must be at least 1/64, got 0.01"):
        build_network(ModelRecipe(width=0.01))


def test_batch_norm_is_in_groups_in_the_trunk_and_in_the_head():
    network = build_encoder(recipe_of(head="simclr", bn_groups=2, width=0.25))
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert {type(m) for m in norms} == {GroupedBatchNorm1d, GroupedBatchNorm2d}
    assert {m.size for m in norms} == {4}


def test_a_classifier_takes_the_place_of_the_head():
    network = build_encoder(recipe_of(width=0.25, bn_groups=1), classes=5)
    assert network(torch.randn(8, 3, 32, 32)).shape == (8, 5)
