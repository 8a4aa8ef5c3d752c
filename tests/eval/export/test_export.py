"""Exports: other programs' names, and the very features when they come back."""

import pickle
import stat

import numpy as np
import pytest
import torch
import torchvision
from support import foreign
from support.checkpoints import settled, trunk_state, write_checkpoint
from support.photographs import photograph_folder
from support.runs import machine, small_recipe
from torch import nn

from dilo.eval.export.export import FORMATS, export
from dilo.eval.models.encoder import load_encoder
from dilo.eval.models.two_stream import SingleStream
from dilo.pipeline.errors import DiloError
from dilo.train.data.images import find_image_set
from dilo.train.engine import checkpoint
from dilo.train.engine.pretrain import train
from dilo.train.networks.encoder import resnet
from dilo.train.networks.timm_encoder import timm_encoder
from dilo.train.recipes.recipe import ModelRecipe

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Draw a ResNet-18 a quarter as wide, with ImageNet's stem."""
    path = tmp_path_factory.mktemp("run") / "checkpoints" / "step-00000007.pt"

    def statistics(content):
        content["state_dict"] = foreign.moco(trunk_state(stem="imagenet"))["state_dict"]

    return load_encoder(write_checkpoint(path, statistics))


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_comes_back_with_the_same_features(encoder, tmp_path, form):
    if form == "safetensors":
        pytest.importorskip("safetensors")
    out = tmp_path / "trunk"
    # torchvision's 120, and 6 of a shortcut, since the first layer is narrower than the stem;
    # detectron2 does without the 21 counts of batches.
    assert export(encoder, form, out)["tensors"] == (126 if form != "detectron2" else 105)
    back = load_encoder(out)
    assert torch.equal(back.features(IMAGES), encoder.features(IMAGES))
    assert back.model == encoder.model
    # And once more from there.
    export(back, form, tmp_path / "again")
    assert torch.equal(load_encoder(tmp_path / "again").features(IMAGES), back.features(IMAGES))


@pytest.mark.parametrize("space", ["unit", "ycbcr"])
@pytest.mark.parametrize("form", ["moco", "safetensors"])
def test_formats_that_have_room_for_it_say_what_the_network_saw(tmp_path, form, space):
    if form == "safetensors":
        pytest.importorskip("safetensors")
    data = {"images": "a", "masks": "b", "backgrounds": "c"}

    def see(content):
        content["dilo"] |= data
        content["dilo"]["recipe"]["views"]["space"] = space

    encoder = load_encoder(write_checkpoint(tmp_path / "c.pt", see))
    export(encoder, form, tmp_path / "out")
    back = load_encoder(tmp_path / "out")
    assert (back.space, back.size, back.step) == (space, 32, 7)
    assert back.training == {"epoch": 1, **data}
    assert torch.equal(back.features(IMAGES), encoder.features(IMAGES))


@pytest.mark.parametrize(
    ("form", "half", "channels"),
    [
        ("torchvision", "l", 1),
        ("timm", "ab", 2),
        ("detectron2", "l", 1),
        ("safetensors", "ab", 2),
        ("moco", "l", 1),
        ("moco", "ab", 2),
    ],
)
def test_a_half_comes_back_and_sees_what_it_saw(tmp_path, form, half, channels):
    made = [foreign.network(channels=c, seed=c) for c in (1, 2)]
    content = foreign.cmc_pair(*(network.state_dict() for network in made))
    pair = load_encoder(foreign.saved(tmp_path / "c.pt", content))
    export(pair, form, tmp_path / "out", half=half)
    back = load_encoder(tmp_path / "out")
    assert isinstance(back.network, SingleStream)
    expected = pair.features(IMAGES).split(128, 1)[channels - 1]
    assert torch.equal(back.features(IMAGES), expected)
    export(back, form, tmp_path / "again")
    assert torch.equal(load_encoder(tmp_path / "again").features(IMAGES), expected)


def test_torchvision_misses_the_classifier_alone(tmp_path):
    torch.save(trunk_state(stem="imagenet", width=1.0), tmp_path / "c.pt")
    export(load_encoder(tmp_path / "c.pt"), "torchvision", tmp_path / "trunk.pth")
    network = torchvision.models.resnet18(weights=None)
    state = torch.load(tmp_path / "trunk.pth", weights_only=True)
    result = network.load_state_dict(state, strict=False)
    assert (result.missing_keys, result.unexpected_keys) == (["fc.weight", "fc.bias"], [])


def test_safetensors_holds_the_same_tensors_and_says_what_they_are(encoder, tmp_path):
    safetensors = pytest.importorskip("safetensors")
    export(encoder, "safetensors", tmp_path / "x")
    expected = encoder.network.state_dict()
    with safetensors.safe_open(tmp_path / "x", framework="pt") as file:
        assert set(file.keys()) == set(expected)
        assert all(torch.equal(file.get_tensor(name), expected[name]) for name in expected)
        assert file.metadata()["format"] == "pt"
        assert '"arch": "resnet18"' in file.metadata()["dilo"]


def test_detectron2_gets_its_own_names_in_a_pickle_for_any_numpy(encoder, tmp_path):
    export(encoder, "detectron2", tmp_path / "trunk.pkl")
    raw = (tmp_path / "trunk.pkl").read_bytes()
    assert b"numpy._core" not in raw
    content = pickle.loads(raw)
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
    weight = content["model"]["res4.0.conv2.weight"]
    assert isinstance(weight, np.ndarray)
    assert (weight == encoder.network.layer3[0].conv2.weight.numpy()).all()


def test_mocos_linear_script_takes_our_checkpoint_and_our_export(tmp_path):
    """Its steps on loading, and the check that it makes after the first epoch."""
    overrides = ("optimizer.epochs=1", "model.stem=imagenet", "paste.probability=0")
    recipe = small_recipe(*overrides)
    source = find_image_set(photograph_folder(tmp_path / "images", 5), None)
    train(recipe, source, tmp_path / "run", machine(), lambda line: None)
    export(load_encoder(tmp_path / "run"), "moco", tmp_path / "out.pth")
    ours = checkpoint.load(checkpoint.list_checkpoints(tmp_path / "run")[0][1])["state_dict"]
    exported = torch.load(tmp_path / "out.pth", weights_only=True)["state_dict"]
    with torch.device("meta"):
        names = set(torchvision.models.resnet18(weights=None).state_dict())
    head = {"fc.weight", "fc.bias"}
    for state in (ours, exported):
        for key in list(state):
            if key.startswith("module.encoder_q") and not key.startswith("module.encoder_q.fc"):
                state[key[len("module.encoder_q.") :]] = state[key]
            del state[key]
        # A network a quarter as wide has a shortcut more, since its first layer is narrower.
        assert {n for n in state if not n.startswith("layer1.0.downsample")} == names - head
        network = resnet(recipe.model)  # torchvision's, but for the width and the head
        network.fc = nn.Linear(network.inplanes, 1000)
        assert set(network.load_state_dict(state, strict=False).missing_keys) == head
        network.eval()
        network(torch.randn(4, 3, 32, 32))
        for name, value in network.state_dict().items():
            assert name.startswith("fc.") or torch.equal(value, state[name]), name


@pytest.mark.parametrize("name", ["test_convnext", "test_vit", "test_efficientnet", "test_resnet"])
@pytest.mark.parametrize("form", ["timm", "safetensors"])
def test_networks_of_timms_come_back_with_the_same_features(tmp_path, name, form):
    timm = pytest.importorskip("timm")
    if form == "safetensors":
        pytest.importorskip("safetensors")
    model = ModelRecipe(arch=f"timm:{name}", dim=8)
    trained = settled(timm_encoder(model, 3)).eval()
    torch.save(foreign.moco(trained.state_dict()) | {"arch": model.arch}, tmp_path / "c.pt")
    encoder = load_encoder(tmp_path / "c.pt")
    export(encoder, form, tmp_path / f"trunk.{'safetensors' if form != 'timm' else 'pth'}")
    (out,) = (path for path in tmp_path.glob("trunk.*") if ".card." not in path.name)
    side = 160 if name == "test_vit" else 64
    images = torch.randn(1, 3, side, side)
    expected = trained.trunk(images)
    made = timm.create_model(name, num_classes=0, checkpoint_path=str(out)).eval()
    assert torch.equal(made(images), expected)
    back = load_encoder(out, arch=model.arch if form == "timm" else None)
    assert torch.equal(back.network(images), expected)


def test_timms_resnets_are_torchvisions_too(tmp_path):
    pytest.importorskip("timm")
    trunk = foreign.body(trunk_state(stem="imagenet", width=1.0))
    state = foreign.under("module.encoder_q.trunk.", trunk)
    torch.save({"arch": "timm:resnet18", "state_dict": state}, tmp_path / "c.pt")
    encoder = load_encoder(tmp_path / "c.pt")
    export(encoder, "torchvision", tmp_path / "out.pth")
    back = load_encoder(tmp_path / "out.pth")
    assert back.model.arch == "resnet18"
    torch.testing.assert_close(back.features(IMAGES), encoder.features(IMAGES))


def test_a_head_that_was_loaded_stays_behind(encoder, tmp_path):
    embedding = load_encoder(encoder.source, layer="embedding")
    assert isinstance(embedding.network.fc, nn.Linear)
    export(embedding, "torchvision", tmp_path / "x")
    assert not any(name.startswith("fc.") for name in torch.load(tmp_path / "x"))


@pytest.mark.parametrize("form", ["torchvision", "detectron2", "moco"])
def test_programs_that_have_no_such_network_are_refused_in_words(tmp_path, form):
    pytest.importorskip("timm")
    model = ModelRecipe(arch="timm:test_vit", dim=8)
    content = foreign.moco(timm_encoder(model, 3).state_dict()) | {"arch": model.arch}
    torch.save(content, tmp_path / "c.pt")
    words = rf"--format {form} is for resnet18, .* got timm:test_vit: give --format timm or"
    with pytest.raises(DiloError, match=words):
        export(load_encoder(tmp_path / "c.pt"), form, tmp_path / "x")


@pytest.mark.parametrize("form", ["timm", "detectron2"])
def test_a_small_stem_is_refused_where_there_is_none(tmp_path, form):
    encoder = load_encoder(write_checkpoint(tmp_path / "c.pt"))
    with pytest.raises(DiloError, match=r"7 x 7, got one of 3 x 3: give --format torchvision"):
        export(encoder, form, tmp_path / "x")
    export(encoder, "torchvision", tmp_path / "x")
    made = resnet(ModelRecipe(arch="resnet18", stem="small", width=0.25))
    result = made.load_state_dict(torch.load(tmp_path / "x"), strict=False)
    assert (set(result.missing_keys), result.unexpected_keys) == ({"fc.weight", "fc.bias"}, [])


def test_halves_are_asked_for_of_pairs_alone(encoder, tmp_path):
    with pytest.raises(DiloError, match="holds one backbone: leave --half out"):
        export(encoder, "torchvision", tmp_path / "x", half="l")
    states = (foreign.network(channels=c).state_dict() for c in (1, 2))
    foreign.saved(tmp_path / "c.pt", foreign.cmc_pair(*states))
    with pytest.raises(DiloError, match=r"two backbones, .*: give --half l or ab"):
        export(load_encoder(tmp_path / "c.pt"), "torchvision", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_checkpoint_itself_is_never_overwritten(tmp_path):
    path = write_checkpoint(tmp_path / "c.pt")
    (tmp_path / "link.pt").symlink_to(path)
    before = path.read_bytes()
    for out in (path, tmp_path / "link.pt"):
        with pytest.raises(DiloError, match="--out must be another file than the checkpoint"):
            export(load_encoder(path), "torchvision", out)
    assert path.read_bytes() == before


def test_without_safetensors_its_format_is_refused_and_nothing_is_left(
    encoder, tmp_path, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.torch", None)
    with pytest.raises(DiloError, match=r"needs the package safetensors: pip install 'dilo\[exp"):
        export(encoder, "safetensors", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_an_export_as_they_may_any_file(encoder, tmp_path):
    (tmp_path / "plain").touch()
    for form in ("torchvision", "detectron2"):
        export(encoder, form, tmp_path / form)
        modes = [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in (form, "plain")]
        assert modes[0] == modes[1]
