"""A training for saliency: it learns, records, stops and goes on to the last bit."""

import dataclasses
import json
import os
import re
import signal

import numpy as np
import pytest
import torch
from support.launching import join, start
from support.objects import objects_and_masks, pairs_of, same_state, small, store_of, taught
from support.pictures import Pictures
from support.runs import losses, machine

from dilo.pipeline.errors import CheckpointError, DiloError, RecipeError
from dilo.train.cli import main
from dilo.train.data.draws import CROPS
from dilo.train.engine import checkpoint
from dilo.train.saliency import train
from dilo.train.saliency.model import SaliencyModel, make_model
from dilo.train.saliency.score import MaskScorer
from dilo.train.saliency.train import WEIGHTS, Data, train_saliency
from dilo.train.weights.torchfile import read


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return objects_and_masks(tmp_path_factory.mktemp("objects"))


@pytest.fixture(scope="module")
def undisturbed(made, module_folder):
    run = module_folder / "undisturbed"
    result = taught(made, run, machine())
    assert (result.step, result.steps) == (4, 4)
    return run


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_what_its_reader_needs(made, undisturbed):
    fields = {"step", "epoch", "loss", "lr", "l0", "bce", "ssim", "iou"}
    fields |= {"images_per_second", "data_wait", "paste_rate", "skipped_pastes"}
    assert [set(line) for line in lines_of(undisturbed)] == [fields] * 4
    assert [line["paste_rate"] for line in lines_of(undisturbed)] == [0] * 4
    assert (undisturbed / "state").read_text() == "done\n"
    facts = json.loads((undisturbed / "run.json").read_text())
    assert (facts["images"], facts["steps"], facts["skipped"]) == (11, 4, [])
    assert facts["data"]["truth"] == pairs_of(made).digest()
    assert [step for step, _ in checkpoint.list_checkpoints(undisturbed)] == [4, 2, 0]


def test_a_checkpoint_says_what_it_is_and_holds_the_teacher_and_the_student(undisturbed):
    content = checkpoint.load(checkpoint.checkpoint_path(undisturbed, 4))
    assert (content["arch"], content["epoch"]) == ("unet", 2)
    about = content["dilo"]
    assert (about["kind"], about["step"], about["epoch"]) == ("saliency", 4, 2)
    assert about["recipe"]["noise"]["trust"] == 0.5
    bare = read(undisturbed / WEIGHTS)
    assert list(bare) == list(content["state_dict"]) == list(content["student"])
    assert all(torch.equal(bare[name], content["state_dict"][name]) for name in bare)
    changed = [n for n in bare if not torch.equal(bare[n], content["student"][n])]
    assert changed


@pytest.mark.parametrize("workers", [0, 2])
def test_stops_in_the_middle_of_epochs_change_nothing_to_the_last_bit(
    made, undisturbed, tmp_path, workers
):
    at_once = dataclasses.replace(machine(max_minutes=1e-9), workers=workers)
    for step in (1, 2, 3):
        assert taught(made, tmp_path, at_once).step == step
        assert not (tmp_path / WEIGHTS).exists()
    assert taught(made, tmp_path, machine()).step == 4
    assert losses(tmp_path) == losses(undisturbed)
    assert same_state(tmp_path, undisturbed, 4)


def test_a_kill_after_a_step_that_no_checkpoint_holds_changes_nothing(
    made, undisturbed, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    plain = SaliencyModel.end_step

    def kill(self):
        plain(self)
        if self._step == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(SaliencyModel, "end_step", kill)
        with pytest.raises(Killed):
            taught(made, tmp_path, machine())
    assert checkpoint.list_checkpoints(tmp_path)[0][0] == 2
    taught(made, tmp_path, machine())
    assert losses(tmp_path) == losses(undisturbed)
    assert same_state(tmp_path, undisturbed, 4)


def test_a_damaged_checkpoint_is_passed_over(made, undisturbed, tmp_path):
    at_once = machine(max_minutes=1e-9)
    for _ in range(3):
        taught(made, tmp_path, at_once)
    checkpoint.checkpoint_path(tmp_path, 3).write_bytes(b"torn")
    taught(made, tmp_path, machine())
    assert same_state(tmp_path, undisturbed, 4)


def test_a_signal_leaves_a_checkpoint_and_is_named(made, undisturbed, tmp_path, monkeypatch):
    plain = SaliencyModel.end_step

    def interrupt(self):
        plain(self)
        if self._step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SaliencyModel, "end_step", interrupt)
    result = taught(made, tmp_path, machine())
    assert (result.step, result.signal) == (3, "SIGTERM")
    assert (tmp_path / "state").read_text() == "preempted\n"
    monkeypatch.undo()
    taught(made, tmp_path, machine())
    assert same_state(tmp_path, undisturbed, 4)


def test_a_run_goes_on_only_as_it_began(made, undisturbed, tmp_path):
    with pytest.raises(CheckpointError, match=r"noise.trust = 0.5, asked for 0.25: .* --out"):
        taught(made, undisturbed, machine(), "noise.trust=0.25")
    other = objects_and_masks(tmp_path, 11)
    (other[1] / "003.png").unlink()
    with pytest.raises(CheckpointError, match="made with truth = "):
        taught(other, undisturbed, machine())


def test_of_a_run_that_is_extended_the_teachers_share_is_said_too(made, tmp_path):
    taught(made, tmp_path, machine(), "optimizer.epochs=1")
    said = []
    recipe = small("optimizer.epochs=2")
    train_saliency(recipe, Data(pairs=pairs_of(made)), tmp_path, machine(), said.append)
    words = "extended from 1 to 2 epochs: .*; the teacher's share falls from 0.5 to 0.167 and rises"
    assert any(re.match(words, line) for line in said)


def test_a_network_learns_what_stands_out_from_labels_and_from_a_store(made, tmp_path):
    store = store_of(made[0], tmp_path / "store")
    long = ("optimizer.epochs=30", "noise.trust_from=20", "optimizer.lr=0.01", "model.width=8")
    for name, truth in (("labels", made[1]), ("store", store)):
        run = tmp_path / name
        test = {"test": pairs_of(made), "test_every": 15}
        taught((made[0], truth), run, machine(), *long, "noise.teacher=0.9", **test)
        scored = [line for line in lines_of(run) if "test_mae" in line]
        assert [line["epoch"] for line in scored] == [0, 15, 30]
        assert scored[-1]["test_mae"] < 0.15 < scored[0]["test_mae"]
        assert scored[-1]["test_max_f"] > 0.85


def test_a_scored_epoch_is_said_and_changes_nothing(made, undisturbed, tmp_path):
    said = []
    data = Data(pairs=pairs_of(made), test=pairs_of(made))
    train_saliency(small(), data, tmp_path, machine(), said.append)
    words = [line for line in said if "MAE" in line]
    assert [line.split(":")[0] for line in words] == ["epoch 0", "epoch 1", "epoch 2"]
    assert "max F 0." in words[0]
    # Of the network that makes masks, which is the teacher.
    learning = make_model(small())
    learning.mask_network.load_state_dict(read(tmp_path / WEIGHTS))
    expected = MaskScorer(pairs_of(made), small().data.size, machine()).score(learning.mask_network)
    assert lines_of(tmp_path)[-1]["test_mae"] == pytest.approx(expected.mae, rel=1e-6)
    assert losses(tmp_path) == losses(undisturbed)
    assert same_state(tmp_path, undisturbed, 4)


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_signal_during_a_scoring_gives_it_up_and_the_next_start_makes_up_for_it(
    made, undisturbed, tmp_path, monkeypatch, at
):
    plain, scored = MaskScorer.score, []

    def score(self, *arguments):
        scored.append(0)
        if len(scored) == 1 + at // 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, *arguments)

    test = {"test": pairs_of(made), "test_every": 1}
    with monkeypatch.context() as patch:
        patch.setattr(MaskScorer, "score", score)
        result = taught(made, tmp_path, machine(), **test)
    assert (result.step, result.signal) == (at, "SIGTERM")
    assert checkpoint.list_checkpoints(tmp_path)[0][0] == at
    assert (tmp_path / "state").read_text() == "preempted\n"
    assert not (tmp_path / WEIGHTS).exists()
    taught(made, tmp_path, machine(), **test)
    assert [line["step"] for line in lines_of(tmp_path) if "test_mae" in line] == [0, 2, 4]
    assert losses(tmp_path) == losses(undisturbed)
    assert (tmp_path / WEIGHTS).exists()


def test_a_loss_that_is_no_number_stops_the_run_in_words(made, tmp_path, monkeypatch):
    plain = SaliencyModel.forward

    def broken(self, lesson):
        output = plain(self, lesson)
        return dataclasses.replace(output, loss=output.loss * (torch.nan if lesson.step else 1))

    monkeypatch.setattr(SaliencyModel, "forward", broken)
    with pytest.raises(DiloError, match="the loss must stay a number, got nan at step 2"):
        taught(made, tmp_path, machine())
    assert [step for step, _ in checkpoint.list_checkpoints(tmp_path)] == [0]


def test_half_precision_trains_too(made, tmp_path):
    taught(made, tmp_path, machine(precision="bf16"))
    assert np.isfinite(losses(tmp_path)).all()


def test_too_few_images_and_an_encoder_for_another_network_are_refused(made, tmp_path):
    with pytest.raises(DiloError, match=r"a batch needs at least optimizer.batch = 12 images"):
        taught(made, tmp_path, machine(), "optimizer.batch=12")
    with pytest.raises(RecipeError, match=r"--encoder .* is for model.arch basnet alone"):
        taught(made, tmp_path, machine(), encoder=tmp_path / "resnet34.pth")


@pytest.mark.parametrize(
    "content", [{"state_dict": 5}, {"layer1.0.conv1.weight": 5}, {3: torch.zeros(2)}, [1]]
)
def test_an_encoder_without_the_layers_of_a_resnet_is_refused_whatever_it_holds(
    made, tmp_path, content
):
    torch.save(content, tmp_path / "x.pth")
    basnet = ["model.arch=basnet", "model.width=1", "data.size=32", "data.crop=32"]
    with pytest.raises(CheckpointError, match=r"--encoder .*x\.pth must hold layer1 to layer4 of"):
        taught(made, tmp_path, machine(), *basnet, encoder=tmp_path / "x.pth")


def test_basnets_encoder_begins_with_a_resnet_and_a_run_goes_on_with_the_same_alone(
    made, tmp_path, monkeypatch
):
    told = []

    def fill(network, state, what):
        told.append((state, what))
        with torch.no_grad():
            next(network.parameters()).fill_(7)

    monkeypatch.setattr(train, "load_encoder", fill)
    files = [tmp_path / "bare.pth", tmp_path / "wrapped.pth"]
    weights = {"layer1.0.conv1.weight": torch.ones(2)}
    torch.save(weights, files[0])
    torch.save({"state_dict": weights}, files[1])
    basnet = ("model.arch=basnet", "model.width=2", "data.size=32")
    stop = machine(max_minutes=1e-9)
    for number, file in enumerate(files):
        taught(made, tmp_path / str(number), stop, *basnet, encoder=file)
        state, what = told[-1]
        assert (list(state), what) == (list(weights), f"--encoder {file}")
        begun = checkpoint.load(checkpoint.checkpoint_path(tmp_path / str(number), 0))
        for network in ("student", "state_dict"):
            assert (next(iter(begun[network].values())) == 7).all()
    with pytest.raises(CheckpointError, match=r"made with encoder = '[0-9a-f]{64}', asked for ''"):
        taught(made, tmp_path / "0", machine(), *basnet)


def test_a_narrow_basnet_takes_a_step_on_a_cpu(made, tmp_path):
    # In a process of its own: where memory is overwritten, it dies.
    values = ("model.width=8", "data.size=64", "data.crop=64", "optimizer.batch=4")
    words = [word for value in values for word in ("--set", value)]
    folders = ["--images", made[0], "--truth", made[1], "--out", tmp_path / "run"]
    options = ["--recipe", "basnet", "--workers", "0", "--device", "cpu", "--max-minutes", "1e-9"]
    command = ["saliency", *map(str, folders), *options, *words]
    join([start(lambda: main(command), tmp_path / "errors")])
    assert checkpoint.list_checkpoints(tmp_path / "run")[0][0] == 1


ON_CROPS = (
    *("paste.probability=0.7", "paste.bank=6"),
    *("paste.backgrounds.crops=2", "paste.backgrounds.noise=1"),
)


def test_stops_change_nothing_about_what_is_pasted_on(made, tmp_path):
    stores = {CROPS: Pictures("crops", [(40, 40)] * 9)}
    at_once = machine(max_minutes=1e-9)
    for run, goes in (("whole", [machine()]), ("cut", [at_once, at_once, at_once, machine()])):
        for go in goes:
            taught(made, tmp_path / run, go, *ON_CROPS, backgrounds=stores)
    assert same_state(tmp_path / "whole", tmp_path / "cut", 4)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert any(0 < line["paste_rate"] < 1 for line in lines_of(tmp_path / "whole"))
    other = {CROPS: Pictures("crops", [(40, 40)] * 90)}
    taught(made, tmp_path / "other", machine(), *ON_CROPS, backgrounds=other)
    assert losses(tmp_path / "other") != losses(tmp_path / "whole")


def test_a_run_does_not_go_on_with_other_backgrounds(made, tmp_path):
    stores = {CROPS: Pictures("crops", [(40, 40)] * 9)}
    taught(made, tmp_path, machine(max_minutes=1e-9), *ON_CROPS, backgrounds=stores)
    stores[CROPS].fingerprint = "of other crops"
    with pytest.raises(CheckpointError, match=r"backgrounds = 'digest of crops', asked for 'of ot"):
        taught(made, tmp_path, machine(), *ON_CROPS, backgrounds=stores)
