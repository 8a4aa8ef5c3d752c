"""Weights that a run begins with: of any layout, into the right networks, or refused in words."""

import json
import os
import pickle
import re

import pytest
import torch
from support import foreign
from support.checkpoints import trunk_state
from support.folders import write_class_folders
from support.foreign import saved
from support.runs import machine, method_recipe, small_recipe

from dilo.pipeline.errors import CheckpointError
from dilo.train.data.images import find_image_set
from dilo.train.engine import checkpoint
from dilo.train.engine.initial import InitialWeights, load_initial
from dilo.train.engine.pretrain import train
from dilo.train.methods import make_method
from dilo.train.methods.base import TrainingSet
from dilo.train.weights.detectron2 import to_detectron2

LINEAR = small_recipe("model.head=linear", "paste.probability=0")


def drawn(seed=0, **options):
    """Draw the network of the small recipe as others would save it."""
    return trunk_state(seed=seed, **{"head": "linear", "dim": 8, "stem": "imagenet", **options})


def begun(path, recipe=LINEAR, **data):
    """Fill a method's networks; return it, what a checkpoint says of that, and what was said."""
    method = make_method(recipe, TrainingSet(13, **data))
    return method, *load_initial(InitialWeights.find(path), method, recipe)


def refusal(path, recipe=LINEAR):
    with pytest.raises(CheckpointError) as caught:
        begun(path, recipe)
    return str(caught.value)


def holds(network, state):
    """Check that a network has these weights, of those that it names."""
    own = network.state_dict()
    return all(torch.equal(own[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    ("layout", "program", "taken"),
    [
        ("moco", "MoCo", "head: 2 arrays; key encoder: 128 arrays"),
        ("pycontrast", "PyContrast, CMC or SimSiam", "head: 2 arrays; key encoder: 128 arrays"),
        ("cmc-single", "PyContrast, CMC or SimSiam", "head: 2 arrays; key encoder: 128 arrays"),
        ("bare", "torchvision", "head: 2 arrays; key encoder: not in the file, a copy of the"),
        ("moco-v3", "MoCo v3", "head: 2 arrays; key encoder: 128 arrays"),
        (
            "lightly",
            "lightly, solo-learn or m",
            "head: not in the file, new; key encoder: 126 arrays",
        ),
        ("solo-learn", "lightly, solo-", "head: not in the file, new; key encoder: 126"),
        ("mmselfsup", "mmselfsup", "head: not in the file, new; key encoder: 126 arrays"),
        ("deepspeed", "lightly, solo-", "head: not in the file, new; key encoder: not in the"),
    ],
)
def test_encoder_key_encoder_and_head_are_taken_where_the_file_has_them(
    tmp_path, layout, program, taken
):
    state = drawn()
    content = (foreign.SINGLE | foreign.HEADLESS)[layout](state)
    method, record, lines = begun(saved(tmp_path / "weights.pth", content))
    backbone = foreign.body(state)
    assert holds(method.encoder_q, state if "head: 2" in taken else backbone)
    own_keys = "key encoder: 12" in taken
    keys = {name: value + 1 for name, value in backbone.items()} if own_keys else backbone
    assert holds(method.encoder_k, keys)
    if not own_keys:
        assert holds(method.encoder_k, method.encoder_q.state_dict())
    assert record["layout"].startswith(program)
    assert record["taken"].startswith(f"backbone: 126 arrays; {taken}")
    assert lines[0] == (
        f"--init: begins with weights.pth (SHA-256 {record['sha256'][:12]}), laid out as by "
        f"{record['layout']}"
    )
    assert lines[1:] == [
        record["taken"],
        "new: the optimiser, the schedule from epoch 0, queue, queue_ptr",
    ]


def test_detectron2s_arrays_and_timms_names_are_taken(tmp_path):
    state = drawn()
    arrays = {name: value.numpy() for name, value in to_detectron2(foreign.body(state)).items()}
    (tmp_path / "d2.pkl").write_bytes(pickle.dumps({"model": arrays}))
    method, record, _ = begun(tmp_path / "d2.pkl")
    assert record["layout"] == "detectron2"
    assert record["taken"].startswith("backbone: 105 arrays; head: not in the file, new")
    uncounted = {k: v for k, v in foreign.body(state).items() if "num_batches" not in k}
    assert holds(method.encoder_q, uncounted)


def test_a_network_of_timms_begins_with_timms_file(tmp_path):
    timm = pytest.importorskip("timm")
    network = timm.create_model("test_resnet", num_classes=10)
    path = saved(tmp_path / "timm.pth", network.state_dict())
    recipe = small_recipe("model.arch=timm:test_resnet", "model.width=1", "paste.probability=0")
    method, record, _ = begun(path, recipe)
    state = {f"trunk.{k}": v for k, v in network.state_dict().items() if k[:3] != "fc."}
    assert holds(method.encoder_q, state)
    assert record["layout"] == "timm"
    assert "head: new, for the file's is linear with 10 outputs, this" in record["taken"]


@pytest.mark.parametrize("layout", ["cmc", "pycontrast", "dilo"])
def test_each_stream_of_cmc_begins_with_its_own(tmp_path, layout):
    recipe = method_recipe("cmc", "model.head=linear", "model.stem=imagenet")
    light, colours = drawn(1, channels=1), drawn(2, channels=2)
    path = saved(tmp_path / "cmc.pth", foreign.PAIR[layout][0](light, colours))
    method, record, lines = begun(path, recipe)
    assert holds(method.l_to_ab, light)
    assert holds(method.ab_to_l, colours)
    assert record["taken"] == "backbone: 252 arrays; head: 4 arrays"
    assert lines[2].endswith("from epoch 0, memory_l, memory_ab, params")
    warned = "views.space = ydbdr; the recipe has lab" in lines[-1]
    assert warned == (layout == "pycontrast")
    assert "must hold one network of RGB, as method moco trains, got a pair of" in refusal(path)


def test_a_head_of_another_kind_or_size_is_new_and_that_is_said(tmp_path):
    path = saved(tmp_path / "moco.pth", foreign.moco(drawn()))
    method, record, _ = begun(path, small_recipe("paste.probability=0"))
    words = "head: new, for the file's is linear with 8 outputs, this run's mlp with 8 outputs"
    assert words in record["taken"]
    assert holds(method.encoder_k.fc, method.encoder_q.fc.state_dict())
    supervised = method_recipe("supervised", "model.stem=imagenet")
    _, record, _ = begun(path, supervised, classes=3)
    assert "linear with 8 outputs, this run's linear with 3 outputs" in record["taken"]
    method, record, _ = begun(path, supervised, classes=8)
    assert record["taken"] == "backbone: 126 arrays; head: 2 arrays"
    assert holds(method.encoder_q, drawn())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"arch": "resnet34"}, r"got the unknown layer1\.2\.conv1\.weight.*model\.arch=resnet34, "),
        (
            {"arch": "resnet50"},
            r"the unknown .* \(16, 64, 1, 1\) instead of \(16, .*--set model.arch=resnet50, or ",
        ),
        (
            {"stem": "small"},
            r"conv1\.weight of shape \(64, 3, 3, 3\) instead of \(64, 3, 7, 7\): give "
            r"--set model\.stem=small, or take other weights",
        ),
        (
            {"width": 0.5, "stem": "small"},
            r"instead of .* and \d+ more: give --set model.stem=small --set model.width=0.5, or",
        ),
    ],
)
def test_another_architecture_is_refused_by_its_arrays_and_by_what_would_fit(
    tmp_path, options, words
):
    content = foreign.bare(drawn(**options))  # so named by its shapes alone
    message = refusal(saved(tmp_path / "other.pth", content))
    assert "as a resnet18 with the imagenet stem and width 0.25 must have all its" in message
    assert re.search(words, message), message


def test_a_file_of_no_network_and_a_pipe_are_refused(tmp_path):
    path = saved(tmp_path / "odd.pth", {"a": torch.zeros(2)})
    assert "or name another architecture with --set model.arch" in refusal(path)
    (tmp_path / "page.pth").write_text("<html>")
    assert "got a page of HTML" in refusal(tmp_path / "page.pth")
    (tmp_path / "run").mkdir()
    assert "must be a checkpoint or the folder of a run" in refusal(tmp_path / "run")
    os.mkfifo(tmp_path / "pipe")
    assert "got a pipe or a device" in refusal(tmp_path / "pipe")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Thirteen images: three steps an epoch."""
    root = write_class_folders(tmp_path_factory.mktemp("data") / "a", ("ant",), each=13)
    return find_image_set(root, None)


def test_a_run_begins_with_what_was_loaded_and_resumes_with_nothing_else(source, tmp_path):
    path, run = saved(tmp_path / "moco.pth", foreign.moco(drawn())), tmp_path / "run"
    said = []
    train(LINEAR, source, run, machine(max_minutes=1e-9), said.append, init=path)
    assert said[0].startswith("--init: begins with moco.pth (SHA-256 ")
    first = checkpoint.load(checkpoint.checkpoint_path(run, 0))
    state = {f"module.encoder_q.{name}": value for name, value in drawn().items()}
    assert all(torch.equal(first["state_dict"][name], value) for name, value in state.items())
    assert first["epoch"] == 0
    assert not first["optimizer"]["state"]
    init = first["dilo"]["init"]

    other = saved(tmp_path / "other.pth", foreign.moco(drawn(1)))
    rule = f"began with moco.pth, SHA-256 {init['sha256'][:12]}, asked for weights of SHA-256 "
    with pytest.raises(CheckpointError, match=f"{rule}.*: omit --init to resume it, or give"):
        train(LINEAR, source, run, machine(), said.append, init=other)
    said.clear()
    train(LINEAR, source, run, machine(max_minutes=1e-9), said.append, init=path)
    train(LINEAR, source, run, machine(), said.append)
    assert not any("--init" in line for line in said)
    assert checkpoint.load(checkpoint.newest_checkpoint(run))["dilo"]["init"] == init
    assert json.loads((run / "run.json").read_text())["init"] == init


def test_of_a_run_the_newest_checkpoint_is_taken_and_a_run_begun_without_is_left(source, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train(LINEAR, source, first, machine(), print)
    train(LINEAR, source, second, machine(max_minutes=1e-9), print, init=first)
    trained = checkpoint.load(checkpoint.newest_checkpoint(first))["state_dict"]
    begun = checkpoint.load(checkpoint.checkpoint_path(second, 0))
    assert begun["dilo"]["init"]["file"] == "first/checkpoints/step-00000006.pt"
    same = [torch.equal(begun["state_dict"][name], value) for name, value in trained.items()]
    different = [name for name, equal in zip(trained, same, strict=True) if not equal]
    assert different == ["module.queue"]
    with pytest.raises(CheckpointError, match="began without --init, asked for weights of SHA-256"):
        train(LINEAR, source, first, machine(), print, init=second)
