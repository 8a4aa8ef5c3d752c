"""Training a detector: steps, resuming, losses that are no numbers, groups in any processes."""

import dataclasses

import pytest
import torch
from support.detection import write_voc
from support.detectors import same_weights, small_recipe, write_backbone
from support.launching import join, start_ranks
from torch import nn

from dilo.eval.detect import training
from dilo.eval.detect.norms import SharedStatistics
from dilo.eval.detect.training import DetectionTask, make_sgd, strange_losses, taken
from dilo.eval.detect.voc_data import read_voc
from dilo.eval.models.encoder import load_encoder
from dilo.pipeline.errors import DiloError
from dilo.train.engine.checkpoint import load
from dilo.train.engine.trainer import Optimization
from dilo.train.engine.trainer import launch as launch_training
from dilo.train.monitor.metrics import read_metrics
from dilo.train.runtime.options import RunOptions
from dilo.train.runtime.signals import StopSignal

CPU = RunOptions(device=torch.device("cpu"), workers=0, log_every=1)
RECIPE = small_recipe(side=32)


@pytest.fixture
def data(tmp_path):
    """Write six images with an object or two."""
    objects = [("cat", 5, 5, 50, 45, ""), ("dog", 30, 10, 75, 55, "")]
    images = {f"{n:06}": objects[: 1 + n % 2] for n in range(6)}
    write_voc(tmp_path, images, split="trainval")
    write_backbone(tmp_path / "backbone.pt")
    return tmp_path


def task(data, recipe=RECIPE, machine=CPU):
    images = read_voc(data, 2007, "trainval", subset=True)
    return DetectionTask(load_encoder(data / "backbone.pt"), images, recipe, machine)


def train(data, out="run", recipe=RECIPE, machine=CPU, say=lambda line: None):
    return launch_training(lambda here, _: task(data, recipe, here), data / out, machine, say)


def stop_after(monkeypatch, steps):
    """Let a signal come during the step after so many."""
    asked = []

    def came(self):
        asked.append(1)
        return "SIGTERM" if len(asked) == steps else ""

    monkeypatch.setattr(StopSignal, "name", property(came, lambda self, value: None), False)


def test_an_interrupted_training_ends_with_the_bits_of_an_uninterrupted_one(data, monkeypatch):
    whole = train(data, "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        stopped = train(data, "resumed")
    assert (stopped.step, stopped.signal) == (2, "on another rank")
    resumed = train(data, "resumed")
    assert (resumed.step, resumed.signal) == (4, "")
    one, other = load(whole.checkpoint), load(resumed.checkpoint)
    assert same_weights(one["state_dict"], other["state_dict"])
    lines = [read_metrics(data / out) for out in ("whole", "resumed")]
    losses = [[line["loss"] for line in each] for each in lines]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4
    assert {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"} <= set(
        lines[0][0]
    )


def test_a_step_is_sgd_on_the_mean_of_the_groups_losses_read_literally(data):
    ours, expected = task(data), task(data)
    batch = next(iter(ours.loader(0)))
    step = Optimization(ours.model, ours.optimizer, CPU)
    output = step.step([ours.inputs(batch, 0, 0)], 1, 0.01)
    total = expected.model(expected.inputs(batch, 0, 0)).loss
    total.backward()
    assert float(output.loss) == float(total.detach())
    norms = {
        id(parameter)
        for module in expected.model.modules()
        if isinstance(module, nn.BatchNorm2d)
        for parameter in module.parameters()
    }
    pairs = zip(ours.model.parameters(), expected.model.parameters(), strict=True)
    for updated, before in pairs:
        decay = 0.0 if id(before) in norms else 1e-4
        after = before - 0.01 * (before.grad + decay * before)
        assert torch.allclose(updated, after, atol=1e-7)


def test_batch_norm_does_not_decay_and_biases_do(data):
    model = task(data).model
    decayed, undecayed = make_sgd(model, RECIPE).param_groups
    assert (decayed["weight_decay"], undecayed["weight_decay"]) == (1e-4, 0.0)
    assert decayed["momentum"] == 0.9
    ids = {id(parameter) for parameter in decayed["params"]}
    assert id(model.detector.roi_heads.box_predictor.cls_score.bias) in ids
    layers = [each for each in model.modules() if isinstance(each, SharedStatistics)]
    assert len(undecayed["params"]) == 2 * len(layers)


def test_the_layers_that_stay_are_in_eval_mode_and_do_not_change(data):
    recipe = small_recipe("voc-fast", side=32)
    one = task(data, recipe)
    body = one.model.detector.backbone
    before = {name: value.clone() for name, value in body.state_dict().items()}
    batch = next(iter(one.loader(0)))
    step = Optimization(one.model, one.optimizer, CPU)
    step.step([one.inputs(batch, 0, 0)], 1, 0.01)
    assert not body["layer3"].training
    assert one.model.detector.roi_heads.box_head.layer4.training
    assert same_weights(before, body.state_dict())


def test_a_loss_that_is_no_number_stops_with_the_last_good_checkpoint(data):
    optimizer = dataclasses.replace(RECIPE.optimizer, lr=1e30)
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer)
    with pytest.raises(DiloError, match=r"the loss must stay a number.*lower --set optimizer.lr"):
        train(data, recipe=recipe)
    checkpoints = sorted((data / "run" / "checkpoints").glob("step-*.pt"))
    assert checkpoints
    for path in checkpoints:
        assert all(value.isfinite().all() for value in load(path)["state_dict"].values())


def test_in_half_precision_boxes_and_losses_are_in_full(data):
    half = dataclasses.replace(CPU, precision="bf16")
    one = task(data, machine=half)
    batch = next(iter(one.loader(0)))
    seen = []
    predictor = one.model.detector.roi_heads.box_predictor
    handle = predictor.register_forward_hook(
        lambda layer, inputs, outputs: seen.append((inputs[0].dtype, outputs[1].dtype))
    )
    step = Optimization(one.model, one.optimizer, half)
    output = step.step([one.inputs(batch, 0, 0)], 1, 0.01)
    handle.remove()
    assert seen == [(torch.bfloat16, torch.float32)] * 2
    assert output.loss.dtype == torch.float32
    full = task(data).model
    expected = full(task(data).inputs(batch, 0, 0)).loss
    assert output.loss.item() == pytest.approx(expected.item(), rel=0.05)


def test_statistics_are_measured_over_further_batches(data):
    trained = task(data)
    norm = trained.model.detector.roi_heads.box_head.norm
    seen = []
    handle = norm.register_forward_hook(lambda layer, inputs, _: seen.append(inputs[0]))
    trained.measure_statistics(lambda line: None, lambda: None)
    handle.remove()
    assert len(seen) == 2 * RECIPE.precise_norm  # two groups a batch
    pairs = list(zip(seen[::2], seen[1::2], strict=True))
    means = [(one.mean((0, 2, 3)) + other.mean((0, 2, 3))) / 2 for one, other in pairs]
    sizes = [one.numel() + other.numel() for one, other in pairs]
    mean = sum(n * m for n, m in zip(sizes, means, strict=True)) / sum(sizes)
    assert torch.allclose(norm.running_mean, mean, atol=1e-5)


def test_groups_in_one_process_take_the_step_of_as_many_processes(data):
    recipe = small_recipe(side=32, iterations=1, groups=4)
    join(start_ranks(lambda: train(data, "two", recipe), data))
    one = train(data, "one", recipe).checkpoint
    other = load(data / "two" / "checkpoints" / one.name)["state_dict"]
    start = load(data / "one" / "checkpoints" / "step-00000000.pt")["state_dict"]
    for name, value in load(one)["state_dict"].items():
        if value.is_floating_point():
            moved = float((value - start[name]).abs().max())
            assert torch.allclose(value, other[name], atol=1e-4 * moved + 1e-7), name


def test_losses_far_from_those_of_guessing_are_told():
    assert strange_losses({"loss_classifier": 3.1, "loss_objectness": 0.7}, 20) == []
    (line,) = strange_losses({"loss_classifier": 40.0, "loss_objectness": 0.7}, 20)
    assert line.startswith("the first step's loss_classifier was 40, where sound weights begin")


def test_they_are_told_at_the_first_step_not_when_all_are_taken(data, monkeypatch):
    monkeypatch.setattr(training, "_FIRST_OBJECTNESS", 0.01)
    lines = []
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        train(data, say=lines.append)
    told = "the first step's loss_objectness was"
    assert [line.startswith(told) for line in lines].count(True) == 1
    lines.clear()
    train(data, say=lines.append)  # resumed, it is not said again
    assert not any(line.startswith(told) for line in lines)


def test_a_batch_is_told_as_the_gpus_that_would_take_it_so():
    assert taken(RECIPE) == (
        "2 groups of 2 images, as 2 GPUs would take a batch of 4, in 1 process"
    )
