"""Weights to the network that they belong to, or refusals by the names of layers."""

import pytest
import torch
from support import foreign
from support.checkpoints import checkpoint_content, trunk_state, write_checkpoint

from dilo.eval.models.encoder import load_encoder
from dilo.pipeline.errors import CheckpointError


def _lose(content):
    del content["state_dict"]["module.encoder_q.layer1.0.conv1.weight"]


def _lose_many(content):
    state = content["state_dict"]
    for name in [name for name in state if ".layer2." in name]:
        del state[name]


def _add(content):
    content["state_dict"]["module.encoder_q.layer5.weight"] = torch.zeros(1)


def _reshape(content):
    content["state_dict"]["module.encoder_q.bn1.weight"] = torch.zeros(65)


def _another_name(content):
    content["state_dict"] = {"backbone.conv1.weight": torch.zeros(64, 3, 7, 7)}


def _another_arch(content):
    content["arch"] = "vgg16"


def _narrow(content):
    state = content["state_dict"]
    for name in ("conv1", "bn1"):
        state[f"module.encoder_q.layer1.0.{name}.weight"] = torch.zeros(0)


def _more_colours(content):
    content["state_dict"]["module.encoder_q.conv1.weight"] = torch.zeros(64, 5, 3, 3)


def _scalars(content):
    for name in ("conv1", "layer1.0.conv1", "layer1.0.bn1"):
        content["state_dict"][f"module.encoder_q.{name}.weight"] = torch.tensor(1.0)


def _wide(content):
    for name in ("conv1", "bn1"):
        sides = (2**13, 2**13, 1, 1)[: 4 if name == "conv1" else 1]
        wide = torch.zeros(()).expand(sides)
        content["state_dict"][f"module.encoder_q.layer1.0.{name}.weight"] = wide


def _whole_numbers(content):
    state = content["state_dict"]
    state["module.encoder_q.bn1.weight"] = state["module.encoder_q.bn1.weight"].long()


def _complex(content):
    state = content["state_dict"]
    state["module.encoder_q.bn1.weight"] = state["module.encoder_q.bn1.weight"].to(torch.complex64)


def _overflow(content):
    state = content["state_dict"]
    state["module.encoder_q.bn1.weight"] = state["module.encoder_q.bn1.weight"].double() + 1e300


def _endless_images(content):
    content["dilo"]["recipe"]["views"]["size"] = 10**18


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(_scalars, r"of shape \(\) instead of \(64, 3", id="scalars"),
        pytest.param(_wide, r"conv1\.weight of shape \(8192, 8192, 1, 1\) instead", id="wide"),
        pytest.param(_whole_numbers, r"torch\.int64, .* instead of dense floats", id="integers"),
        pytest.param(_complex, r"torch\.complex64, .* instead of dense floats", id="complex"),
        pytest.param(_overflow, r"bn1\.weight with values too large for torch\.fl", id="1e300"),
        pytest.param(
            _endless_images,
            r"views\.size of its recipe must be 1 to 16384 .*give another",
            id="side",
        ),
        pytest.param(_lose, r"got no layer1\.0\.conv1\.weight: name another", id="layer-missing"),
        pytest.param(_lose_many, r"got no layer2.*, layer2.*, layer2\S* and 22 more", id="many"),
        pytest.param(_add, r"got the unknown layer5\.weight: name", id="layer-too-many"),
        pytest.param(_reshape, r"got bn1\.weight of shape \(65,\) instead of \(64,\)", id="shape"),
        pytest.param(_another_name, r"got backbone\.conv1\.weight: rename", id="no-whole-network"),
        pytest.param(_another_arch, r"one of resnet18, .* got vgg16", id="unknown-arch"),
        pytest.param(_narrow, r"c\.pt: model\.width must be at least 1/64, got 0", id="no-width"),
        pytest.param(
            _more_colours, r"got conv1\.weight of shape \(64, 5, 3, 3\) instead", id="channels"
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, change, message):
    path = write_checkpoint(tmp_path / "c.pt", change)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_encoder(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "change", [torch.Tensor.to_sparse, lambda tensor: tensor.to("meta")], ids=["sparse", "meta"]
)
def test_tensors_that_are_not_there_or_not_dense_are_refused(tmp_path, change):
    def odd(content):
        state = content["state_dict"]
        state["module.encoder_q.bn1.weight"] = change(state["module.encoder_q.bn1.weight"])

    path = write_checkpoint(tmp_path / "c.pt", odd)
    with pytest.raises(
        CheckpointError, match=r"got bn1\.weight .* instead of dense floats: name another"
    ):
        load_encoder(path)


def test_a_wrong_architecture_is_refused(tmp_path):
    path = write_checkpoint(tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=r"as a resnet50 .* got no .*; .* and \d+ more"):
        load_encoder(path, arch="resnet50")


@pytest.mark.parametrize("head", ["linear", "mlp", "simclr"])
def test_a_head_of_any_kind_is_filled(tmp_path, head):
    made = foreign.network(head)
    torch.save(checkpoint_content(made.state_dict()), tmp_path / "c.pt")
    encoder = load_encoder(tmp_path / "c.pt", layer="embedding")
    images = torch.randn(2, 3, 32, 32)
    assert encoder.model.head == head
    assert torch.equal(encoder.network(images), made(images))
    assert encoder.network(images).shape == (2, 8)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        pytest.param({}, r"got no head: evaluate the pooled features", id="none"),
        pytest.param(
            {f"fc.{i}.weight": torch.zeros(128, 128) for i in range(4)},
            r"got 0\.weight, 1\.weight, 2\.weight and 1 more: evaluate",
            id="four-layers",
        ),
        pytest.param(
            {"fc.weight": torch.zeros(8, 64)}, r"got no fc\.bias; fc\.weight of shape", id="width"
        ),
    ],
)
def test_a_head_that_is_not_there_or_unknown_is_refused(tmp_path, head, words):
    torch.save(foreign.moco(foreign.body(trunk_state()) | head), tmp_path / "c.pt")
    assert load_encoder(tmp_path / "c.pt").network  # without it, all is well
    with pytest.raises(CheckpointError, match=words):
        load_encoder(tmp_path / "c.pt", layer="embedding")
