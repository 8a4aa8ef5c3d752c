"""Exports: other programs' names, and the very features when they come back."""

import pickle

import pytest
import torch
import torchvision
from support.cli import invoke
from support.runs import machine, photographs_and_masks, small_recipe

from dilo.eval.cli import main
from dilo.eval.encoder import load_encoder
from dilo.train import checkpoint
from dilo.train.data import find_source
from dilo.train.loop import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train MoCo v2 with ImageNet's stem."""
    root = tmp_path_factory.mktemp("run")
    recipe = small_recipe("optimizer.epochs=1", "model.stem=imagenet", "model.width=1.0")
    train(recipe, find_source(*photographs_and_masks(root)), root / "run", machine(), print)
    return root / "run"


def written(run, form, out, *more, status=0):
    return invoke(
        main, "export", "--checkpoint", run, "--format", form, "--out", out, *more, status=status
    )


def features(encoder):
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return encoder.network(images)


@pytest.mark.parametrize("form", ["torchvision", "timm", "moco"])
def test_an_export_comes_back_with_the_same_features(run, tmp_path, form):
    out = tmp_path / "trunk.pth"
    assert f"{out}: 120 tensors" in written(run, form, out).stderr
    assert torch.equal(features(load_encoder(out)), features(load_encoder(run)))


def test_torchvision_misses_the_classifier_alone(run, tmp_path):
    written(run, "torchvision", tmp_path / "trunk.pth")
    network = torchvision.models.resnet18(weights=None)
    state = torch.load(tmp_path / "trunk.pth", weights_only=True)
    result = network.load_state_dict(state, strict=False)
    assert (result.missing_keys, result.unexpected_keys) == (["fc.weight", "fc.bias"], [])


def test_safetensors_holds_the_same_tensors(run, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    written(run, "safetensors", tmp_path / "trunk.safetensors")
    found = safetensors.load_file(tmp_path / "trunk.safetensors")
    expected = load_encoder(run).network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_detectron2_gets_its_own_names(run, tmp_path):
    written(run, "detectron2", tmp_path / "trunk.pkl")
    content = pickle.loads((tmp_path / "trunk.pkl").read_bytes())
    assert content["matching_heuristics"] is True
    names = set(content["model"])
    assert {
        "stem.conv1.weight",
        "stem.conv1.norm.running_var",
        "res2.0.conv1.weight",
        "res5.1.conv2.norm.bias",
        "res3.0.shortcut.weight",
        "res3.0.shortcut.norm.weight",
    } <= names
    assert not any("layer" in name or "bn" in name or "tracked" in name for name in names)
    trunk = load_encoder(run).network
    assert (content["model"]["res4.0.conv2.weight"] == trunk.layer3[0].conv2.weight.numpy()).all()


def test_mocos_linear_script_takes_our_checkpoint(run):
    """Its steps on loading, and the check that it makes after the first epoch."""
    state = checkpoint.load(checkpoint.steps(run)[0][1])["state_dict"]
    for key in list(state):
        if key.startswith("module.encoder_q") and not key.startswith("module.encoder_q.fc"):
            state[key[len("module.encoder_q.") :]] = state[key]
        del state[key]
    network = torchvision.models.resnet18(weights=None)
    assert set(network.load_state_dict(state, strict=False).missing_keys) == {
        "fc.weight",
        "fc.bias",
    }
    network.eval()
    network(torch.randn(4, 3, 32, 32))
    for name, value in network.state_dict().items():
        assert name.startswith("fc.") or torch.equal(value, state[name]), name


def test_what_does_not_fit_is_refused_in_words(run, tmp_path):
    refused = written(run, "torchvision", tmp_path / "x.pth", "--half", "l", status=3)
    assert "holds one trunk: leave --half out" in refused.stderr
    assert not (tmp_path / "x.pth").exists()
