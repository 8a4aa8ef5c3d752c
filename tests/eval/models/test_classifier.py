"""Backbones with a classifier: whose files have one, what a score is, and which class is which."""

import pytest
import torch
from support import foreign
from support.checkpoints import checkpoint_content, settled, trunk_state, write_checkpoint
from support.foreign import network, under
from torch import nn

from dilo.eval.models.classifier import (
    CLASSIFIER,
    Classifier,
    classifier_file,
    load_classifier,
)
from dilo.eval.models.encoder import load_encoder
from dilo.eval.models.synsets import SYNSETS
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.train.augment.color import to_color_space
from dilo.train.networks.encoder import pooled_features

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def saved(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def moco_linear(made):
    return foreign.moco_linear(made.state_dict())


def torchvisions(made):
    return made.state_dict()


def supervised(made):
    content = checkpoint_content(made.state_dict())
    content["dilo"]["recipe"]["method"] = "supervised"
    return content


def linears(made):
    """Lay out as `dilo-eval linear` does."""
    content = foreign.moco_linear(made.state_dict())
    return content | {"dilo": {"classes": [f"n{i}" for i in range(8)], "recipe": {}}}


@pytest.mark.parametrize("lay_out", [moco_linear, torchvisions, supervised, linears])
def test_scores_are_those_of_the_whole_network(tmp_path, lay_out):
    made = network()
    found = load_classifier(saved(tmp_path / "c.pth", lay_out(made)))
    assert torch.equal(found.scores(IMAGES), made(to_color_space(IMAGES, "rgb")))
    assert found.weight.shape == (8, 128)
    assert found.classes == (tuple(f"n{i}" for i in range(8)) if lay_out is linears else None)
    moved = found.to(torch.device("cpu"))
    assert torch.equal(moved.scores(IMAGES), found.scores(IMAGES))
    assert moved.classes == found.classes


def test_a_pair_is_classified_by_both_halves_together(tmp_path):
    halves = [network(channels=channels, seed=channels) for channels in (1, 2)]
    content = foreign.ours_pair(*(foreign.body(half.state_dict()) for half in halves))
    layer = nn.Linear(256, 5)
    content["state_dict"] |= under("module.fc.", layer.state_dict())
    content["dilo"] = {"classes": list("abcde"), "recipe": {"views": {"space": "ycbcr"}}}
    found = load_classifier(saved(tmp_path / "c.pth", content))
    parts = to_color_space(IMAGES, "ycbcr").split([1, 2], 1)
    features = [pooled_features(half, part) for half, part in zip(halves, parts, strict=True)]
    torch.testing.assert_close(found.scores(IMAGES), layer(torch.cat(features, 1)))
    assert found.classes == tuple("abcde")


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_efficientnet", "test_resnet"])
def test_the_classifiers_of_timms_networks_come_too(tmp_path, name):
    timm = pytest.importorskip("timm")
    made = settled(timm.create_model(name, num_classes=7)).eval()
    path = saved(tmp_path / "c.pth", made.state_dict())
    found = load_classifier(path, arch=f"timm:{name}")
    images = torch.rand(1, 3, 160, 160)
    torch.testing.assert_close(found.scores(images), made(to_color_space(images, "rgb")))


@pytest.mark.parametrize(
    ("lay_out", "head", "words"),
    [
        pytest.param(foreign.moco, "linear", r"got fc\.weight, fc\.bias, a projection", id="v1"),
        pytest.param(foreign.moco, "mlp", r"got fc\.0\.weight, .* and 1 more, a proj", id="v2"),
        pytest.param(foreign.instdisc, "linear", r"a projection head: train one", id="instdisc"),
        pytest.param(foreign.cmc_single, "linear", r"a projection head: train one", id="cmc"),
        pytest.param(foreign.pycontrast, "linear", r"0\.weight, fc\.0\.bias, a pro", id="pyco"),
        pytest.param(foreign.bare, "simclr", r"a projection head: train one", id="simclr"),
        pytest.param(
            lambda state: foreign.bare(foreign.body(state)), "linear", "got no layer fc:", id="none"
        ),
        pytest.param(checkpoint_content, "linear", r"a projection head: train one", id="ours"),
    ],
)
def test_what_ends_in_something_else_is_refused(tmp_path, lay_out, head, words):
    path = foreign.saved(tmp_path / "c.pth", lay_out(network(head).state_dict()))
    with pytest.raises(CheckpointError, match=words) as caught:
        load_classifier(path)
    assert "train one with dilo-eval linear" in str(caught.value)


@pytest.mark.parametrize("layout", foreign.PAIR)
def test_the_heads_of_a_pair_are_no_classifier(tmp_path, layout):
    states = (network(channels=channels).state_dict() for channels in (1, 2))
    path = foreign.saved(tmp_path / "c.pth", foreign.PAIR[layout][0](*states))
    with pytest.raises(CheckpointError, match="a projection head: train one with dilo-eval"):
        load_classifier(path)


def test_a_run_stands_for_what_linear_found_and_else_for_its_newest_checkpoint(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(CheckpointError, match=r"there is no .*step-\*\.pt"):
        classifier_file(run)
    newest = write_checkpoint(run / "checkpoints" / "step-00000007.pt")
    assert classifier_file(run) == newest
    protocol, fast = (run / "eval" / part for part in ("linear", "linear-fast"))
    found = saved(fast / CLASSIFIER, linears(network()))
    assert classifier_file(run) == classifier_file(fast) == classifier_file(found) == found
    found = saved(protocol / CLASSIFIER, linears(network()))  # the better one, where there are both
    assert classifier_file(run) == classifier_file(protocol) == found
    of_step = saved(run / "eval" / "linear-step-0-cub" / CLASSIFIER, linears(network()))
    assert classifier_file(run) == found
    assert classifier_file(run / "checkpoints" / "step-00000000.pt") == of_step
    saved(run / "eval" / "linear-cub" / CLASSIFIER, linears(network()))
    with pytest.raises(CheckpointError, match=r"must hold one classifier, got .*linear-cub"):
        classifier_file(run)


def named(path, classes=None):
    content = trunk_state()
    encoder = load_encoder(saved(path, content))
    return Classifier(encoder, torch.zeros(3, 128), torch.zeros(3), classes)


def test_classes_are_found_by_name_where_the_file_names_them(tmp_path):
    found = named(tmp_path / "c.pth", ("ant", "bee", "cow"))
    assert found.numbers(["cow", "ant"], "images").tolist() == [2, 0]
    with pytest.raises(DiloError, match=r"classes of images must be among the 3 .* got dog: rena"):
        found.numbers(["ant", "dog"], "images")


def test_classes_without_names_go_by_the_sorted_order(tmp_path):
    found = named(tmp_path / "c.pth")
    assert found.numbers(["n3", "n1", "n2"], "images").tolist() == [2, 0, 1]
    with pytest.raises(DiloError, match=r"images must have the 3 classes .* got 2: give all class"):
        found.numbers(["n1", "n2"], "images")


ODD = {
    "no number": lambda w, b: (w * float("nan"), b),
    "too large": lambda w, b: (w.double() + 1e300, b),
    "whole numbers": lambda w, b: (w.long(), b),
    "another width": lambda w, b: (w[:, :7], b),
    "another bias": lambda w, b: (w, b[:3]),
    "a bias that is a matrix": lambda w, b: (w, b[:, None]),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_linear_layer_of_odd_values_is_refused(tmp_path, odd):
    state = network().state_dict()
    state["fc.weight"], state["fc.bias"] = ODD[odd](state["fc.weight"], state["fc.bias"])
    path = saved(tmp_path / "c.pth", foreign.moco_linear(state))
    with pytest.raises(CheckpointError, match=r"in a linear layer of 8 classes on 128 features, g"):
        load_classifier(path)


@pytest.mark.parametrize("names", [["a"] * 8, ["a", "b"], [1, 2, 3, 4, 5, 6, 7, 8], "abcdefgh"])
def test_names_that_are_not_one_for_each_class_are_refused(tmp_path, names):
    content = linears(network())
    content["dilo"]["classes"] = names
    with pytest.raises(CheckpointError, match=r"must name each of its 8 classes once, got other"):
        load_classifier(saved(tmp_path / "c.pth", content))


def of_rows(path, count, *, recipe=None, classes=None):
    content = trunk_state() if recipe is None else checkpoint_content(trunk_state())
    encoder = load_encoder(saved(path, content))
    return Classifier(encoder, torch.zeros(count, 128), torch.zeros(count), classes)


def test_classes_without_names_that_are_whole_numbers_are_indices(tmp_path):
    found = of_rows(tmp_path / "c.pth", 12)
    folders = sorted(map(str, range(12)))  # 0, 1, 10, 11, 2, ...
    assert found.numbers(folders, "images").tolist() == [int(name) for name in folders]
    assert found.numbers(["07", "11"], "images").tolist() == [7, 11]  # of a part of them
    assert found.row_names(folders) == tuple(map(str, range(12)))
    one_based = [str(i + 1) for i in range(12)]
    assert found.numbers(one_based, "images").tolist() == list(range(12))
    with pytest.raises(DiloError, match="images must have the 12 classes"):
        found.numbers(["7", "12"], "images")


def test_a_run_from_before_numbers_were_sorted_keeps_the_order_that_it_learnt(tmp_path):
    found = of_rows(tmp_path / "c.pth", 12, recipe="supervised")
    folders = sorted(map(str, range(12)))
    assert found.numbers(folders, "images").tolist() == list(range(12))


def test_named_classes_that_are_numbers_are_matched_whatever_zeros_are_before_them(tmp_path):
    found = of_rows(tmp_path / "c.pth", 3, classes=("0", "10", "2"))
    assert found.numbers(["00", "02", "10"], "images").tolist() == [0, 2, 1]
    with pytest.raises(DiloError, match="got 3: rename"):
        found.numbers(["0", "3"], "images")


def test_ten_synsets_are_found_among_the_1000_classes_of_imagenet(tmp_path):
    found = of_rows(tmp_path / "c.pth", 1000)
    imagenette = ["n01440764", "n02102040", "n03888257"]
    assert found.numbers(imagenette, "images").tolist() == [0, 217, 701]
    assert found.row_names(imagenette)[217] == "n02102040"
    assert list(SYNSETS) == sorted(set(SYNSETS))
    assert len(SYNSETS) == 1000
    with pytest.raises(DiloError, match="images must have the 1000 classes"):
        found.numbers([*imagenette, "dog"], "images")
