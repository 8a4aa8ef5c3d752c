"""Vision transformers in files: found under any prefix, sized by shapes, refused by name."""

import pytest
import torch
from support.transformers import WIDTH, dino_state, dinov2_state, drawn_transformer
from torch.testing import assert_close

from dilo.pipeline.errors import CheckpointError
from dilo.train.weights.transformers import find_transformer, load_transformer

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def opened(content, path="vit.pth"):
    weights = find_transformer(content, path)
    return weights, load_transformer(weights, path)


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def test_dinos_file_is_read_as_it_is():
    weights, network = opened(dino_state())
    assert (weights.place, weights.is_dino) == ("", True)
    expected = drawn_transformer().forward_features(IMAGES)
    assert torch.equal(network.forward_features(IMAGES), expected)
    assert not network.training
    assert not any(value.requires_grad for value in network.parameters())


def test_of_dinos_checkpoint_the_teacher_is_taken_without_its_head():
    head = {"module.head.mlp.0.weight": torch.zeros(8, WIDTH)}
    content = {
        "student": under("module.backbone.", dino_state(seed=1)) | head,
        "teacher": under("backbone.", dino_state(seed=2)) | {"head.last_layer.weight_g": head},
        "epoch": 3,
    }
    weights, network = opened(content)
    assert (weights.place, weights.is_dino) == ("teacher.backbone", True)
    expected = drawn_transformer(seed=2).forward_features(IMAGES)
    assert torch.equal(network.forward_features(IMAGES), expected)


@pytest.mark.parametrize("registers", [0, 4])
def test_dinov2s_file_is_read_with_or_without_registers(registers):
    weights, network = opened(dinov2_state(registers=registers))
    assert not weights.is_dino
    shape = weights.shape
    assert (shape.registers, shape.layer_scale, shape.heads) == (registers, True, 1)
    expected = drawn_transformer(registers=registers, layer_scale=True).forward_features(IMAGES)
    assert_close(network.forward_features(IMAGES), expected)


def test_positions_of_the_patches_alone_are_timms_of_networks_with_registers():
    state = dinov2_state(registers=4)
    state["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
    state["pos_embed"] = state["pos_embed"][:, 1:]
    state["reg_token"] = state.pop("register_tokens")
    expected = drawn_transformer(registers=4, layer_scale=True).forward_features(IMAGES)
    assert_close(opened(state)[1].forward_features(IMAGES), expected)


def test_a_gated_mlp_is_told_by_its_shape_whatever_it_is_called():
    made = drawn_transformer(gated=True, hidden=48, layer_scale=True)
    names = {".mlp.fc1.": ".mlp.w12.", ".mlp.fc2.": ".mlp.w3."}
    state = made.state_dict()
    for ours, theirs in names.items():
        state = {name.replace(ours, theirs): value for name, value in state.items()}
    weights, network = opened(state)
    assert (weights.shape.gated, weights.shape.hidden) == (True, 48)
    assert torch.equal(network.forward_features(IMAGES), made.forward_features(IMAGES))


@pytest.mark.parametrize(
    "content",
    [
        {"model": dino_state()},  # as MAE's
        {"state_dict": dino_state()},
        dino_state() | {"head.weight": torch.zeros(4, WIDTH), "head.bias": torch.zeros(4)},
        {
            "arch": "vit_small",
            "state_dict": under("module.base_encoder.", dino_state())
            | under("module.momentum_encoder.", dino_state(seed=1)),
        },
    ],
    ids=["model", "state_dict", "classifier", "moco-v3"],
)
def test_others_with_the_same_layers_are_read_but_are_not_dinos(content):
    weights, network = opened(content)
    assert not weights.is_dino
    expected = drawn_transformer().forward_features(IMAGES)
    assert torch.equal(network.forward_features(IMAGES), expected)


def test_moco_v3s_small_network_has_heads_of_its_own():
    state = dino_state(width=384, hidden=384, depth=1)
    assert opened({"state_dict": under("module.base_encoder.", state)})[0].shape.heads == 12
    assert opened({"state_dict": state})[0].shape.heads == 6


def test_what_is_no_vision_transformer_is_none():
    assert find_transformer({"state_dict": {"conv1.weight": torch.zeros(3)}}, "x.pth") is None
    assert find_transformer(None, "x.pth") is None


REFUSED = {
    "rotary": (
        dino_state() | {"rope_embed.periods": torch.zeros(4)},
        "x.pth has rotary positions, as DINOv3, which is read by timm alone: give the file that "
        "timm has of it, and --arch timm:NAME",
    ),
    "two": (
        {"one": dino_state(), "other": dino_state(seed=1)},
        "must hold one vision transformer, got 2, in one, other",
    ),
    "wide": (
        dino_state(width=1280, hidden=8, depth=1),
        "got one of 1280 channels, whose heads nothing tells",
    ),
    "no-positions": (
        {name: value for name, value in dino_state().items() if name != "pos_embed"},
        "with positions of a square of patches",
    ),
    "distilled": (
        dino_state() | {"pos_embed": torch.zeros(1, 18, WIDTH)},
        "with positions of a square of patches",
    ),
    "another-norm": (
        dino_state() | {"norm_pre.weight": torch.zeros(WIDTH)},
        "got the unknown norm_pre.weight: name a network of timm's with --arch",
    ),
    "a-block-less": (
        {name: v for name, v in dino_state(depth=3).items() if not name.startswith("blocks.1.")},
        "got no blocks.1.norm1.weight",
    ),
    "nan": (
        dino_state() | {"cls_token": torch.full((1, 1, WIDTH), torch.nan)},
        "cls_token with values that are not finite",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_only_like_it_is_refused_by_name(case):
    content, words = REFUSED[case]
    with pytest.raises(CheckpointError, match=words):
        opened(content, "x.pth")
