"""timm's networks behind a head: a small fake of timm, and the real one where it is installed."""

import sys
import types

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from dilo.pipeline.errors import RecipeError
from dilo.train.networks.batchnorm import GroupedBatchNorm2d
from dilo.train.networks.encoder import (
    build_encoder,
    build_network,
    embed_map,
    feature_map,
    pooled_features,
)
from dilo.train.recipes.recipe import ModelRecipe, OptimizerRecipe, Recipe, ViewsRecipe


def recipe_of(arch, size=32, **model):
    model = ModelRecipe(arch=arch, dim=8, **model)
    return Recipe(model=model, optimizer=OptimizerRecipe(batch=8), views=ViewsRecipe(size=size))


class BatchNormAct2d(nn.BatchNorm2d):
    """Normalises and activates, as timm's of this name."""


class Trunk(nn.Module):
    """As timm's networks are: they pool, then widen; some take one size of image only."""

    def __init__(self, channels, name):
        super().__init__()
        self.num_features, self.head_hidden_size = 6, (10 if name == "widening" else 6)
        self.conv = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm = (BatchNormAct2d if name == "fused" else nn.BatchNorm2d)(6)
        self.last = nn.Linear(6, 10) if name == "widening" else nn.Identity()
        self.flat = name == "flat"
        fixed = name == "fixed"
        self.pretrained_cfg = {"fixed_input_size": fixed, "input_size": (3, 24, 24)}

    def forward_features(self, images):
        found = self.norm(self.conv(images))
        return found.flatten(2).mT if self.flat else found

    def forward(self, images):
        return self.last(self.norm(self.conv(images)).mean((2, 3)))


@pytest.fixture
def timm(monkeypatch):
    names = ["plain", "widening", "fused", "flat", "fixed"]
    module = types.ModuleType("timm")
    module.__version__ = "0"
    module.is_model = names.__contains__
    module.list_models = lambda: names

    def create_model(name, *, pretrained, num_classes, in_chans):
        assert (pretrained, num_classes) == (False, 0)
        return Trunk(in_chans, name)

    module.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", module)


@pytest.mark.parametrize(("name", "width"), [("plain", 6), ("widening", 10)])
@pytest.mark.usefixtures("timm")
def test_a_network_of_timms_ends_in_the_head_too(name, width):
    recipe = recipe_of(f"timm:{name}", head="mlp", bn_groups=2)
    network = build_encoder(recipe, channels=2)
    images = torch.randn(8, 2, 16, 16)
    assert network(images).shape == (8, 8)
    assert network.fc[0].in_features == width
    assert {key.partition(".")[0] for key in network.state_dict()} == {"trunk", "fc"}
    assert type(network.trunk.norm) is GroupedBatchNorm2d
    network.eval()
    assert_close(network(images), network.fc(pooled_features(network, images)))
    assert build_encoder(recipe, channels=2, classes=3)(images).shape == (8, 3)
    again = build_encoder(recipe, channels=2)
    assert torch.equal(again.trunk.conv.weight, network.trunk.conv.weight)


@pytest.mark.usefixtures("timm")
def test_the_last_map_of_a_network_of_timms_is_what_it_pools():
    images = torch.randn(2, 3, 16, 16)
    network = build_encoder(recipe_of("timm:plain", bn_groups=1)).eval()
    assert feature_map(network, images).shape == (2, 6, 16, 16)
    assert_close(feature_map(network, images).mean((2, 3)), pooled_features(network, images))
    for name, shape in (("flat", r"\(2, 256, 6\)"), ("widening", r"\(2, 6, 16, 16\)")):
        network = build_encoder(recipe_of(f"timm:{name}", bn_groups=1))
        with pytest.raises(RecipeError, match=rf"must be a map \(B, \d+, h, w\), got {shape}"):
            feature_map(network, images)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("plane", {}, r"timm:plane must be a network that timm 0 has; names like it: plain"),
        ("plain", {"stem": "small"}, r"stem and model.width must stay .* 'small' and 1.0"),
        ("plain", {"width": 0.5}, r"stem and model.width must stay .* 'imagenet' and 0.5"),
        ("fused", {"bn_groups": 2}, r"trunk.norm is a BatchNormAct2d, which .*model.bn_groups = 1"),
        ("fixed", {"bn_groups": 1}, r"views.size must be 24 with timm:fixed, got 32"),
    ],
)
@pytest.mark.usefixtures("timm")
def test_what_a_network_of_timms_cannot_do_is_said(name, options, message):
    with pytest.raises(RecipeError, match=message):
        build_encoder(recipe_of(f"timm:{name}", **options))


@pytest.mark.usefixtures("timm")
def test_batch_norm_fused_with_activations_serves_one_process_alone(monkeypatch):
    recipe = recipe_of("timm:fused", bn_groups=1)
    assert build_encoder(recipe)(torch.randn(4, 3, 16, 16)).shape == (4, 8)
    monkeypatch.setattr("dilo.train.runtime.distributed.world_size", lambda: 2)
    with pytest.raises(RecipeError, match="neither in groups nor across processes"):
        build_encoder(recipe)


def test_without_timm_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(RecipeError, match=r"timm:resnet18 needs timm \(.*\): pip install timm"):
        build_network(ModelRecipe(arch="timm:resnet18"))


@pytest.mark.parametrize(
    ("name", "width"),
    [("resnet10t", 512), ("mobilenetv3_small_050", 1024), ("swin_tiny_patch4_window7_224", 768)],
)
def test_the_real_timms_networks_have_the_width_that_is_taken_for_theirs(name, width):
    pytest.importorskip("timm")
    network = build_encoder(recipe_of(f"timm:{name}", bn_groups=1, size=224)).eval()
    assert network.width == width
    assert network(torch.randn(1, 3, 224, 224)).shape == (1, 8)
    if name == "resnet10t":
        assert feature_map(network, torch.randn(1, 3, 64, 64)).shape == (1, 512, 2, 2)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext"])
def test_the_real_timms_networks_can_be_finished_from_their_last_map(name):
    pytest.importorskip("timm")
    network = build_network(ModelRecipe(arch=f"timm:{name}", dim=8)).eval()
    images = torch.randn(2, 3, 64, 64)
    assert_close(embed_map(network, feature_map(network, images)), network(images))
