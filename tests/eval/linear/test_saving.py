"""Classifiers that are read back, of every kind of backbone, and states that are refused."""

import pytest
import torch
from support.probes import small_state, tiny_encoder, write_small

from dilo.eval.linear.saving import STATE, read_state, write_classifier, write_state
from dilo.eval.models.classifier import load_classifier
from dilo.eval.models.encoder import load_encoder
from dilo.pipeline.errors import CheckpointError
from dilo.train.weights.torchfile import read


def write_pair(path, first, second):
    """Write two small backbones, of one channel and of two, under the names of a repository."""
    state = {
        prefix + name: value
        for channels, prefix in ((1, first), (2, second))
        for name, value in small_state(channels, channels).items()
    }
    torch.save({"state_dict": state}, path)
    return path


def write_fitted(path, encoder, width):
    layer = torch.randn(3, width), torch.randn(3)
    about = {"protocol": {"name": "moco"}}
    names = ("ant", "bee", "cat")
    write_classifier(path, encoder, layer, names, epoch=2, best_acc1=50.0, about=about)
    return layer


def same_scores(found, encoder, layer, images):
    expected = torch.nn.functional.linear(encoder.features(images), *layer)
    return found.scores(images).equal(expected)


def test_a_backbone_and_its_layer_come_back_with_recipe_step_and_classes(tmp_path):
    source = write_small(tmp_path / "backbone.pt")
    encoder = load_encoder(source)
    layer = write_fitted(tmp_path, encoder, 128)
    found = load_classifier(tmp_path)
    assert same_scores(found, encoder, layer, torch.rand(2, 3, 16, 16))
    assert found.classes == ("ant", "bee", "cat")
    assert (found.encoder.step, found.encoder.size, found.encoder.space) == (7, 16, "rgb")
    assert found.encoder.recipe["views"]["crop_scale"] == [0.2, 1.0]  # as in its training
    content = read(tmp_path / "classifier.pth")
    assert content["dilo"]["checkpoint"] == str(source)
    assert content["dilo"]["protocol"] == {"name": "moco"}
    assert set(content["state_dict"]) == {
        f"module.{name}" for name in (*small_state(), "fc.weight", "fc.bias")
    }


def test_the_size_it_was_trained_at_comes_back_rather_than_the_backbones(tmp_path):
    encoder = load_encoder(write_small(tmp_path / "backbone.pt"), size=24)
    write_fitted(tmp_path, encoder, 128)
    assert load_classifier(tmp_path).encoder.size == 24


@pytest.mark.parametrize(
    ("prefixes", "space"),
    [
        (("module.l_to_ab.", "module.ab_to_l."), "lab"),
        (("module.encoder1.", "module.encoder2."), "ydbdr"),
    ],
)
def test_a_pair_comes_back_in_the_colours_that_its_layer_saw(tmp_path, prefixes, space):
    encoder = load_encoder(write_pair(tmp_path / "pair.pt", *prefixes), size=16)
    layer = write_fitted(tmp_path, encoder, 256)
    found = load_classifier(tmp_path)
    assert found.encoder.space == encoder.space == space
    assert same_scores(found, encoder, layer, torch.rand(2, 3, 16, 16))
    names = read(tmp_path / "classifier.pth")["state_dict"].keys()
    assert {"module.fc.weight", "module.l_to_ab.conv1.weight"} <= names


def test_a_transformer_of_timm_comes_back(tmp_path):
    timm = pytest.importorskip("timm")
    name = "test_vit"
    backbone = timm.create_model(name, num_classes=0)
    state = {f"module.encoder_q.backbone.{k}": v for k, v in backbone.state_dict().items()}
    torch.save({"arch": f"timm:{name}", "state_dict": state}, tmp_path / "vit.pt")
    encoder = load_encoder(tmp_path / "vit.pt", size=16)
    images = torch.rand(2, 3, 16, 16)
    layer = write_fitted(tmp_path, encoder, encoder.features(images).shape[1])
    assert same_scores(load_classifier(tmp_path), encoder, layer, images)


def test_a_state_comes_back_for_the_same_settings(tmp_path):
    assert read_state(tmp_path, {"seed": 0}) is None
    settings = {"seed": 0, "milestones": (1.0, 2.0)}
    write_state(tmp_path, settings, {"step": 3, "weight": torch.ones(2)})
    state = read_state(tmp_path, settings)
    assert state["step"] == 3
    assert state["weight"].equal(torch.ones(2))


def test_a_state_of_other_settings_is_refused_by_name(tmp_path):
    write_state(tmp_path, {"seed": 0, "lr": 30.0}, {})
    with pytest.raises(
        CheckpointError, match=r"lr = 30\.0, asked for 3\.0: a probe resumes only with"
    ):
        read_state(tmp_path, {"seed": 0, "lr": 3.0})
    with pytest.raises(CheckpointError, match="batch = None, asked for 5"):
        read_state(tmp_path, {"seed": 0, "lr": 30.0, "batch": 5})
    with pytest.raises(CheckpointError, match=r"lr = 30\.0, asked for None"):
        read_state(tmp_path, {"seed": 0})


@pytest.mark.parametrize("content", [{"format": 0, "settings": {}, "state": {}}, {}, [1]])
def test_a_state_of_another_format_is_refused(tmp_path, content):
    torch.save(content, tmp_path / STATE)
    with pytest.raises(CheckpointError, match=r"training\.pt must be written by this version of"):
        read_state(tmp_path, {})


@pytest.mark.parametrize(
    "odd",
    [
        {"settings": [1]},
        {"state": "x"},
        {"state": {"step": -7}},
        {"state": {"step": 2**70}},
        {"state": {"step": True}},
    ],
)
def test_a_state_of_odd_values_is_refused(tmp_path, odd):
    write_state(tmp_path, {}, {"step": 3})
    torch.save(read(tmp_path / STATE) | odd, tmp_path / STATE)
    with pytest.raises(CheckpointError, match=r"training\.pt must .*: give another --out"):
        read_state(tmp_path, {})


def test_a_folder_that_takes_no_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot be written: .*make room"):
        write_fitted(tmp_path / "nowhere", tiny_encoder(tmp_path / "gone.pt"), 6)
