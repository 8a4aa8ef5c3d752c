"""Checkpoints to backbones: which files are understood, and which are refused and how."""

import argparse
from pathlib import Path

import pytest
import torch
from support import foreign
from support.checkpoints import checkpoint_content, model_of, trunk_state, write_checkpoint
from torch import nn

from dilo.eval.models.encoder import load_encoder
from dilo.pipeline.errors import CheckpointError, RecipeError
from dilo.train.augment.color import to_color_space
from dilo.train.engine.checkpoint import checkpoint_path, newest_checkpoint
from dilo.train.networks.encoder import resnet


def test_the_backbone_gives_the_input_of_the_head(tmp_path):
    encoder = load_encoder(write_checkpoint(tmp_path / "c.pt"))
    whole = resnet(model_of())
    whole.load_state_dict(trunk_state())
    whole.eval()
    pooled = []
    whole.fc.register_forward_hook(lambda module, given, result: pooled.append(given[0]))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole(images)
    assert float(pooled[0].std()) > 0
    assert torch.equal(encoder.network(images), pooled[0])


def test_the_backbone_is_frozen_and_stays_so_while_it_runs(tmp_path):
    encoder = load_encoder(write_checkpoint(tmp_path / "c.pt"))
    before = {name: tensor.clone() for name, tensor in encoder.network.state_dict().items()}
    result = encoder.network(torch.randn(2, 3, 32, 32))
    assert not result.requires_grad
    after = encoder.network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_size_and_step_come_from_the_recipe_and_the_source_from_the_path(tmp_path):
    path = write_checkpoint(tmp_path / "c.pt", size=48, step=123)
    encoder = load_encoder(path)
    assert (encoder.size, encoder.step, encoder.source) == (48, 123, path)
    assert load_encoder(path, size=64).size == 64


def test_the_query_encoder_is_taken_and_not_the_key_encoder(tmp_path):
    content = checkpoint_content(trunk_state(seed=1))
    keys = {f"module.encoder_k.{name}": tensor for name, tensor in trunk_state(seed=2).items()}
    content["state_dict"] = keys | content["state_dict"]
    torch.save(content, tmp_path / "c.pt")
    loaded = load_encoder(tmp_path / "c.pt").network.state_dict()
    assert torch.equal(loaded["conv1.weight"], trunk_state(seed=1)["conv1.weight"])


def test_a_bare_state_dict_is_read_when_its_architecture_is_said(tmp_path):
    torch.save(trunk_state(), tmp_path / "c.pt")
    assert load_encoder(tmp_path / "c.pt", arch="resnet18").step is None
    # And where it is not, the shapes tell.
    assert load_encoder(tmp_path / "c.pt").step is None


@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_without_a_recipe_the_stem_is_told_by_its_shape_and_the_size_is_224(tmp_path, stem):
    torch.save({"arch": "resnet18", "state_dict": trunk_state(stem=stem)}, tmp_path / "c.pt")
    encoder = load_encoder(tmp_path / "c.pt")
    assert encoder.size == 224
    assert isinstance(encoder.network.maxpool, nn.Identity) == (stem == "small")


def test_files_of_old_torch_without_batch_counts_are_read(tmp_path):
    state = {k: v for k, v in trunk_state().items() if not k.endswith("num_batches_tracked")}
    content = {"arch": "resnet18", "state_dict": state}
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=False)
    loaded = load_encoder(tmp_path / "c.pt").network.state_dict()
    assert torch.equal(loaded["layer4.1.bn2.running_var"], state["layer4.1.bn2.running_var"])


def test_a_run_stands_for_its_checkpoint_with_the_highest_step(tmp_path):
    for step in (9, 10, 200):
        write_checkpoint(checkpoint_path(tmp_path, step), step=step)
    (tmp_path / "checkpoints" / "step-best.pt").touch()
    (tmp_path / "checkpoints" / ".step-00000300.pt.host.1.00000000.part").touch()
    assert newest_checkpoint(tmp_path).name == "step-00000200.pt"
    assert load_encoder(tmp_path).step == 200


def test_a_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no .*step-\*\.pt: give the file itself"):
        load_encoder(tmp_path)


class Foreign:
    """What a hostile or careless pickle holds: here, a file that betrays a call."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("foreign", [argparse.Namespace(k=1), nn.Linear(1, 1)])
def test_objects_of_other_programs_are_dropped(tmp_path, foreign, old_format):
    """The CMC repository keeps its options, a Namespace, and InstDisc's a module."""
    content = checkpoint_content(trunk_state()) | {"opt": foreign}
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=not old_format)
    loaded = load_encoder(tmp_path / "c.pt").network.state_dict()
    assert all(torch.equal(loaded[name], trunk_state()[name]) for name in loaded)


def test_a_file_that_would_run_code_is_refused_and_never_does(tmp_path):
    marker = tmp_path / "ran"
    path = write_checkpoint(tmp_path / "b.pt", lambda c: c.update(opt=Foreign(marker)))
    with pytest.raises(CheckpointError, match=r"b\.pt must be a whole file .* reading it failed"):
        load_encoder(path)
    assert not marker.exists()


def wide(network, images):
    """Give an encoder's features and its maps, those of a pair side by side."""
    with torch.no_grad():
        return network.features(images), torch.cat(network.feature_maps(images), 1)


@pytest.mark.parametrize("layout", [*foreign.SINGLE, *foreign.PAIR])
def test_the_mean_over_the_cells_of_the_maps_is_the_features(tmp_path, layout):
    if layout in foreign.SINGLE:
        content = foreign.SINGLE[layout](foreign.network().state_dict())
    else:
        halves = (foreign.network(channels=c).state_dict() for c in (1, 2))
        content = foreign.PAIR[layout][0](*halves)
    encoder = load_encoder(foreign.saved(tmp_path / "x.pth", content))
    features, maps = wide(encoder, torch.rand(2, 3, 64, 96))
    assert maps.shape == (*features.shape, 2, 3)
    torch.testing.assert_close(maps.mean((2, 3)), features)


def test_the_maps_of_timms_networks_are_what_they_pool_and_some_have_none(tmp_path):
    timm = pytest.importorskip("timm")
    for name in ("test_efficientnet", "test_vit"):
        made = timm.create_model(name, num_classes=0)
        torch.save({"arch": f"timm:{name}", "state_dict": made.state_dict()}, tmp_path / name)
    features, maps = wide(load_encoder(tmp_path / "test_efficientnet"), torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(maps.mean((2, 3)), features)
    with pytest.raises(RecipeError, match="take a convolutional"):
        wide(load_encoder(tmp_path / "test_vit"), torch.rand(2, 3, 160, 160))


def test_ours_say_their_recipe_and_what_they_were_trained_on(tmp_path):
    said = {"images": "a1", "masks": "", "backgrounds": "c3"}
    path = write_checkpoint(tmp_path / "c.pt", lambda content: content["dilo"].update(said))
    encoder = load_encoder(path)
    assert encoder.training == {"epoch": 1, "images": "a1", "backgrounds": "c3"}
    assert encoder.recipe["views"]["size"] == 32


@pytest.mark.parametrize("space", ["rgb", "unit", "lab", "ycbcr", "ydbdr"])
def test_the_colours_are_those_of_the_recipe(tmp_path, space):
    def see(content):
        content["dilo"]["recipe"]["views"]["space"] = space

    encoder = load_encoder(write_checkpoint(tmp_path / "c.pt", see))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(encoder.features(images), encoder.network(to_color_space(images, space)))


def test_colours_that_nobody_knows_are_refused_and_other_odd_words_are_dropped(tmp_path):
    def odd(content):
        content["dilo"] = {"step": "x", "recipe": {"views": {"size": "big"}, "model": 3}}
        content["epoch"] = [1]

    encoder = load_encoder(write_checkpoint(tmp_path / "c.pt", odd))
    assert (encoder.size, encoder.step, encoder.training) == (224, None, {})

    def infrared(content):
        content["dilo"]["recipe"]["views"]["space"] = "infrared"

    with pytest.raises(CheckpointError, match=r"one of rgb, unit, lab, .* got 'infrared'"):
        load_encoder(write_checkpoint(tmp_path / "d.pt", infrared))


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    """Change one byte in the middle, where the weights are."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(_half, id="half"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"not a checkpoint", id="text"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, damage, old_format):
    path = tmp_path / "c.pt"
    content = checkpoint_content(trunk_state())
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"c\.pt must be a whole file .* copy it again"):
        load_encoder(path)


def test_one_wrong_bit_among_the_weights_is_noticed(tmp_path):
    path = write_checkpoint(tmp_path / "c.pt")
    path.write_bytes(_flipped(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"wrong bytes in|Bad CRC"):
        load_encoder(path)


def test_counts_that_count_nothing_and_endless_words_are_dropped(tmp_path):
    for number in (-7, 2**70, 10**600, 2.5, "7"):

        def odd(content, number=number):
            content["dilo"] |= {"step": number, "epoch": number, "images": "a" * 10**6}
            content["epoch"] = number

        encoder = load_encoder(write_checkpoint(tmp_path / "c.pt", odd))
        assert (encoder.step, encoder.training) == (None, {})


@pytest.mark.parametrize("size", [0, -7, 10**18])
def test_a_side_that_no_image_has_is_refused_unless_another_is_given(tmp_path, size):
    path = write_checkpoint(tmp_path / "c.pt", size=size)
    with pytest.raises(CheckpointError, match=r"must be 1 to 16384 pixels, got .*: give another"):
        load_encoder(path)
    assert load_encoder(path, size=64).size == 64
