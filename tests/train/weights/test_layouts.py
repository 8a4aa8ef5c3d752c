"""Whose checkpoint it is: files as each repository lays them out give their network's features."""

import pytest
import torch
from support import foreign
from support.checkpoints import settled, trunk_state, write_checkpoint
from support.foreign import network, saved, under
from torch import nn
from torch.nn.functional import normalize

from dilo.eval.models.encoder import load_encoder
from dilo.pipeline.errors import CheckpointError
from dilo.train.augment.color import to_color_space
from dilo.train.networks.encoder import pooled_features, resnet
from dilo.train.recipes.recipe import ModelRecipe
from dilo.train.weights.detectron2 import to_detectron2
from dilo.train.weights.layouts import find_backbones, head_of, shape_of

PREFIXES = (
    "module.encoder_q.",
    "encoder_q.",
    "module.encoder.",
    "encoder.module.",
    "module.",
    "",
)


def images(count=2, side=32):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("head", "old"), [("linear", False), ("linear", True), ("mlp", False)])
@pytest.mark.parametrize("layout", foreign.SINGLE)
def test_one_backbone_of_any_layout_gives_its_features_and_its_embedding(
    tmp_path, layout, head, old
):
    made = network(head)
    path = saved(tmp_path / "x.pth", foreign.SINGLE[layout](made.state_dict()), old=old)
    seen = to_color_space(images(), "rgb")
    encoder = load_encoder(path)
    assert torch.equal(encoder.features(images()), pooled_features(made, seen))
    assert (encoder.space, encoder.size, encoder.step) == ("rgb", 224, None)
    assert (encoder.model.arch, encoder.model.width) == ("resnet18", 0.25)
    embedded = load_encoder(path, layer="embedding")
    assert torch.equal(embedded.features(images()), made(seen))
    assert (embedded.model.head, embedded.model.dim) == (head, 8)


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("layout", foreign.PAIR)
def test_a_pair_of_any_layout_sees_its_colours_and_embeds_each_half_by_itself(
    tmp_path, layout, head
):
    made = [network(head, channels=channels, seed=channels) for channels in (1, 2)]
    lay_out, space = foreign.PAIR[layout]
    path = saved(tmp_path / "x.pth", lay_out(*(half.state_dict() for half in made)))
    parts = to_color_space(images(), space).split([1, 2], 1)
    encoder = load_encoder(path)
    assert encoder.space == space
    expected = [pooled_features(half, part) for half, part in zip(made, parts, strict=True)]
    assert torch.equal(encoder.features(images()), torch.cat(expected, 1))
    found = load_encoder(path, layer="embedding").features(images())
    expected = [normalize(half(part)) for half, part in zip(made, parts, strict=True)]
    assert torch.equal(found, torch.cat(expected, 1))


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("frame", ["state_dict", "model", None])
def test_unknown_files_are_told_by_the_list_of_prefixes(tmp_path, prefix, frame):
    """As DiLo's own are, of which nobody has said how they are laid out."""
    state = network().state_dict()
    named = under(prefix, state)
    (backbone,) = find_backbones({frame: named} if frame else named, tmp_path).backbones
    assert backbone.keys() == foreign.body(state).keys()
    assert all(backbone[name] is state[name] for name in backbone)


@pytest.mark.parametrize("layout", foreign.HEADLESS)
def test_a_backbone_lies_under_the_shortest_prefix_that_has_a_whole_one(tmp_path, layout):
    made = network()
    path = saved(tmp_path / "x.pth", foreign.HEADLESS[layout](made.state_dict()))
    encoder = load_encoder(path)
    assert torch.equal(
        encoder.features(images()), pooled_features(made, to_color_space(images(), "rgb"))
    )
    assert (encoder.model.arch, encoder.model.width) == ("resnet18", 0.25)


def test_of_several_networks_each_is_named_and_one_is_taken_by_its_place(tmp_path):
    made, seen = network(), to_color_space(images(), "rgb")
    path = saved(tmp_path / "x.pth", foreign.dino(made.state_dict()))
    with pytest.raises(CheckpointError) as caught:
        load_encoder(path)
    assert str(caught.value) == (
        f"{path} must hold one network, got 2 whole ones, in student.backbone, teacher.backbone: "
        "take one alone with dilo-eval export --part student.backbone --format torchvision "
        "--out FILE, and give that file"
    )
    encoder = load_encoder(path, part="student")
    assert torch.equal(encoder.features(images()), pooled_features(made, seen))
    made.load_state_dict({name: value + 1 for name, value in made.state_dict().items()})
    encoder = load_encoder(path, part="teacher.backbone")
    assert torch.equal(encoder.features(images()), pooled_features(made, seen))
    with pytest.raises(CheckpointError, match=r"under one prefix in nobody, as conv1\.weight"):
        load_encoder(path, part="nobody")


def test_an_average_is_taken_where_it_is_asked_for(tmp_path):
    made = network()
    for layout, part in ((foreign.ema, "state_dict_ema"), (foreign.moco, "encoder_k")):
        found = find_backbones(layout(made.state_dict()), tmp_path, part=part)
        assert torch.equal(found.backbones[0]["conv1.weight"], made.conv1.weight + 1)


def test_one_network_in_two_places_is_one(tmp_path):
    state = network().state_dict()
    content = {"best": state, "last": {name: value.clone() for name, value in state.items()}}
    assert find_backbones(content, tmp_path).backbones[0].keys() == foreign.body(state).keys()
    content["last"]["bn1.bias"] += 1
    with pytest.raises(CheckpointError, match="got 2 whole ones, in best, last: take one"):
        find_backbones(content, tmp_path)


def test_a_files_words_are_shortened_and_cannot_command_a_terminal(tmp_path):
    state = network().state_dict()
    for arch in ("a" * 10**6, "\x1b]0;owned\x07", "\u202egpj"):
        torch.save({"arch": arch, "state_dict": state}, tmp_path / "x.pth")
        with pytest.raises(CheckpointError, match="give it with --arch") as caught:
            load_encoder(tmp_path / "x.pth")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500
    with pytest.raises(CheckpointError, match="rename its keys") as caught:
        find_backbones({"\x1b[2J" * 10**5: torch.zeros(1)}, tmp_path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_mocos_own_files_have_as_many_entries_as_ours_would(tmp_path):
    for head, entries in (("linear", 642), ("mlp", 646)):
        with torch.device("meta"):
            shapes = resnet(ModelRecipe(arch="resnet50", head=head)).state_dict()
        # One number, repeated: the file is small, whatever the network.
        state = {k: torch.zeros((), dtype=v.dtype).expand(v.shape) for k, v in shapes.items()}
        content = foreign.moco(state) | {"arch": "resnet50"}
        assert len(content["state_dict"]) == entries
    torch.save(content, tmp_path / "x.pth")
    encoder = load_encoder(tmp_path / "x.pth")
    assert encoder.training == {"epoch": 200}
    assert sum(p.numel() for p in encoder.network.parameters()) == 23_508_032
    assert (encoder.model.arch, encoder.network.inplanes) == ("resnet50", 2048)


def test_the_backbone_is_taken_and_not_its_moving_average(tmp_path):
    made = network()
    for layout in (foreign.cmc_single, foreign.pycontrast, foreign.moco):
        found = find_backbones(layout(made.state_dict()), tmp_path)
        assert torch.equal(found.backbones[0]["conv1.weight"], made.conv1.weight)


def test_detectron2s_names_are_turned_back_and_its_useless_head_is_dropped(tmp_path):
    made = network()
    named = to_detectron2(made.state_dict()) | {"stem.fc.weight": torch.zeros(8, 128)}
    found = find_backbones({"model": named}, tmp_path)
    expected = {k: v for k, v in made.state_dict().items() if "num_batches" not in k}
    assert set(found.backbones[0]) == {name for name in expected if not name.startswith("fc.")}
    assert torch.equal(found.backbones[0]["layer2.0.downsample.1.bias"],
                       expected["layer2.0.downsample.1.bias"])  # fmt: skip


def test_a_file_without_a_network_is_refused_by_the_names_that_it_has(tmp_path):
    with pytest.raises(CheckpointError, match=r"must hold a ResNet .*; got a, b: rename its keys"):
        find_backbones({"a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"got no tensor: rename"):
        find_backbones({"state_dict": {"conv1.weight": "text"}}, tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("head", "layers", "numbered", "expected"),
    [
        ("linear", 2, False, ("linear", 1, 8)),
        ("linear", 2, True, ("linear", 1, 8)),
        ("mlp", 2, False, ("mlp", 2, 8)),
        ("simclr", 2, False, ("simclr", 2, 8)),
        ("simclr", 3, False, ("simclr", 3, 8)),
    ],
)
def test_heads_are_told_by_their_tensors(head, layers, numbered, expected):
    state = network(head, head_layers=layers).state_dict()
    assert head_of(foreign.head(state, numbered)) == expected


def test_a_head_that_nobody_has_is_none():
    assert head_of({}) is None
    assert head_of({"0.bias": torch.zeros(3)}) is None
    assert head_of({f"{i}.weight": torch.zeros(3, 3) for i in range(3)}) is None


@pytest.mark.parametrize("arch", ["resnet18", "resnet34", "resnet50", "resnet101"])
@pytest.mark.parametrize("width", [0.5, 2.0])
def test_architecture_and_width_are_told_by_the_shapes(arch, width):
    with torch.device("meta"):
        assert shape_of(resnet(ModelRecipe(arch=arch, width=width)).state_dict()) == (arch, width)


TIMM = [
    ("test_vit", "head", 160),
    ("test_convnext", "head.fc", 64),
    ("test_efficientnet", "classifier", 64),
    ("test_resnet", "fc", 64),
]


def drawn_by_timm(name, classes=5):
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return settled(timm.create_model(name, num_classes=classes)).eval()


@pytest.mark.parametrize(("name", "classifier", "side"), TIMM)
def test_networks_of_timms_load_without_their_classifier(tmp_path, name, classifier, side):
    made = drawn_by_timm(name)
    state = made.state_dict()
    assert f"{classifier}.weight" in state
    expected = made.forward_head(made.forward_features(images(side=side)), pre_logits=True)
    for prefix in (PREFIXES[0], ""):
        torch.save(under(prefix, state), tmp_path / "x.pth")
        encoder = load_encoder(tmp_path / "x.pth", arch=f"timm:{name}")
        assert torch.equal(encoder.network(images(side=side)), expected), prefix
        assert encoder.model.arch == f"timm:{name}"


def test_a_file_of_timms_may_be_without_a_classifier_from_the_first(tmp_path):
    made = drawn_by_timm("test_vit", classes=0)
    torch.save({"arch": "timm:test_vit", "state_dict": made.state_dict()}, tmp_path / "x.pth")
    found = load_encoder(tmp_path / "x.pth").network(images(side=160))
    assert torch.equal(found, made(images(side=160)))


def test_a_timm_network_with_other_weights_is_refused_by_the_names(tmp_path):
    pytest.importorskip("timm")
    torch.save(drawn_by_timm("test_convnext").state_dict(), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"hold a timm:test_vit under .*patch_embed\.proj"):
        load_encoder(tmp_path / "x.pth", arch="timm:test_vit")
    with pytest.raises(CheckpointError, match=r"x\.pth: model\.arch timm:nonesuch must be a netw"):
        load_encoder(tmp_path / "x.pth", arch="timm:nonesuch")
    with pytest.raises(CheckpointError, match=r"must hold a ResNet .*another architecture with"):
        load_encoder(tmp_path / "x.pth")


def test_without_timm_its_networks_are_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    torch.save({"stem.0.weight": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth: .*needs timm .*pip install timm"):
        load_encoder(tmp_path / "x.pth", arch="timm:convnext_atto")


def test_a_pair_of_timms_networks_is_told_by_their_backbones(tmp_path):
    pytest.importorskip("timm")
    from dilo.train.networks.timm_encoder import timm_encoder

    model = ModelRecipe(arch="timm:test_efficientnet", dim=8)
    made = [settled(timm_encoder(model, channels)).eval() for channels in (1, 2)]
    content = foreign.ours_pair(*(half.state_dict() for half in made))
    torch.save(content | {"arch": model.arch}, tmp_path / "x.pth")
    encoder = load_encoder(tmp_path / "x.pth")
    parts = to_color_space(images(), "lab").split([1, 2], 1)
    expected = [half.trunk(part) for half, part in zip(made, parts, strict=True)]
    assert torch.equal(encoder.features(images()), torch.cat(expected, 1))


def test_ours_of_timms_networks_come_back_with_their_heads(tmp_path):
    pytest.importorskip("timm")
    from dilo.train.networks.timm_encoder import timm_encoder

    made = settled(timm_encoder(ModelRecipe(arch="timm:test_convnext", head="mlp", dim=8), 3))
    content = foreign.moco(made.eval().state_dict()) | {"arch": "timm:test_convnext"}
    torch.save(content, tmp_path / "x.pth")
    encoder = load_encoder(tmp_path / "x.pth", layer="embedding")
    assert torch.equal(encoder.network(images()), made(images()))
    assert isinstance(load_encoder(tmp_path / "x.pth").network.fc, nn.Identity)


def test_a_checkpoint_of_ours_says_which_network_it_is(tmp_path):
    path = write_checkpoint(tmp_path / "c.pt")
    assert load_encoder(path).model.stem == "small"
    assert set(load_encoder(path).network.state_dict()) == {
        name for name in trunk_state() if not name.startswith("fc.")
    }
