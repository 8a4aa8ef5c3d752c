"""A probe against the loop read literally; stops, ranks, broken images and what is refused."""

import dataclasses

import pytest
import torch
from support.folders import write_class_folders
from support.probes import CPU, SHORT, folders, tiny_encoder, write_small
from support.ranks import on_ranks
from torch import nn

from dilo.eval.features.features import extract_features
from dilo.eval.linear.data import EpochBatches, TrainingCrops, collate
from dilo.eval.linear.protocols import Protocol
from dilo.eval.linear.saving import STATE
from dilo.eval.linear.training import probe
from dilo.eval.models.classifier import load_classifier
from dilo.eval.models.encoder import load_encoder
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.train.engine.claim import claim_run
from dilo.train.runtime import distributed
from dilo.train.runtime.signals import StopSignal
from dilo.train.weights.torchfile import read


@pytest.fixture
def data(tmp_path):
    """Write twelve training images and four test images, in two classes."""
    write_class_folders(tmp_path / "train", ("ant", "bee"), each=6, seed=1)
    write_class_folders(tmp_path / "test", ("ant", "bee"), each=2, seed=2)
    return tmp_path


def run(data, out="out", encoder=None, protocol=SHORT, machine=CPU, said=None, **more):
    say = (said if said is not None else []).append
    encoder = encoder or tiny_encoder(data / "gone.pt")
    return probe(encoder, *folders(data), protocol, data / out, machine, say, **more)


def layer(data, out="out"):
    state = read(data / out / "classifier.pth")["state_dict"]
    return state["module.fc.weight"], state["module.fc.bias"]


def stop_after(monkeypatch, steps):
    """Let a signal come during the step after so many."""
    asked = []

    def came(self):
        asked.append(1)
        return "SIGTERM" if len(asked) == steps else ""

    # What __init__ and a signal's handler write is of no interest here.
    monkeypatch.setattr(StopSignal, "name", property(came, lambda self, value: None), False)


def test_it_is_the_loop_of_the_paper_read_literally(data):
    outcome = run(data, seed=4)
    encoder, (train, test) = tiny_encoder(data / "gone.pt"), folders(data)
    weight = torch.empty(2, 6).normal_(0, 0.01, generator=torch.Generator().manual_seed(4))
    expected = nn.Linear(6, 2)
    expected.weight.data.copy_(weight)
    expected.bias.data.zero_()
    optimizer = torch.optim.SGD(expected.parameters(), lr=1.0, momentum=0.9)
    crops, queries = TrainingCrops(train, SHORT, 16, seed=4), extract_features(encoder, test)
    for epoch, batches in enumerate([list(EpochBatches(12, SHORT, 4))[i : i + 3] for i in (0, 3)]):
        losses = []
        optimizer.param_groups[0]["lr"] = 0.1**epoch
        for batch in batches:
            told, pixels = collate([crops[key] for key in batch])
            scores = expected(encoder.features(pixels / 255))
            loss = nn.functional.cross_entropy(scores, told[:, 1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += [loss.item()] * len(batch)
        right = (expected(queries.vectors).argmax(1) == queries.labels).double().mean()
        result = outcome.curve[epoch]
        assert (result.epoch, result.lr) == (epoch + 1, pytest.approx(0.1**epoch))
        assert result.loss == pytest.approx(sum(losses) / 12, rel=1e-5)
        assert (result.top1, result.top5) == (pytest.approx(100 * right.item()), 100)
    found = layer(data)
    torch.testing.assert_close(found[0], expected.weight.detach())
    torch.testing.assert_close(found[1], expected.bias.detach())


def test_colours_are_told_apart_and_each_epoch_is_said(data):
    said = []
    protocol = dataclasses.replace(SHORT, epochs=8, lr=3.0, milestones=())
    outcome = run(data, protocol=protocol, said=said)
    assert outcome.curve[-1].top1 == outcome.best.top1 == 100
    assert outcome.per_class == {"ant": 100.0, "bee": 100.0}
    assert (outcome.train_images, outcome.test_images, outcome.unreadable) == (12, 4, ())
    epochs = [line for line in said if line.startswith("epoch")]
    assert [line.partition(":")[0] for line in epochs] == [f"epoch {i} of 8" for i in range(1, 9)]
    assert epochs[-1].endswith("top-1 100.00 %, top-5 100.00 %")


def test_the_best_epoch_is_the_first_of_the_highest(data):
    outcome = run(data)
    first, second = outcome.curve
    for tops, best in (((50.0, 75.0), 2), ((75.0, 50.0), 1), ((75.0, 75.0), 1)):
        pairs = zip((first, second), tops, strict=True)
        curve = tuple(dataclasses.replace(result, top1=top1) for result, top1 in pairs)
        assert dataclasses.replace(outcome, curve=curve).best.epoch == best


def test_what_it_writes_scores_images_as_the_backbone_and_the_layer_do(data):
    encoder = load_encoder(write_small(data / "backbone.pt"))
    outcome = run(data, encoder=encoder)
    classifier = load_classifier(data / "out")
    assert classifier.encoder.source == outcome.classifier == data / "out" / "classifier.pth"
    assert (classifier.classes, classifier.encoder.size) == (("ant", "bee"), 16)
    assert classifier.encoder.step == 7
    images, (weight, bias) = torch.rand(3, 3, 16, 16), layer(data)
    assert classifier.scores(images).equal(
        nn.functional.linear(encoder.features(images), weight, bias)
    )
    content = read(outcome.classifier)
    assert {"epoch", "arch", "state_dict", "best_acc1", "dilo"} == content.keys()
    assert (content["epoch"], content["best_acc1"]) == (2, outcome.best.top1)
    assert content["dilo"]["protocol"] == dataclasses.asdict(SHORT)


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_stopped_anywhere_it_goes_on_bit_for_bit(data, monkeypatch, steps):
    whole = run(data, "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        stopped = run(data)
    assert (stopped.signal, stopped.classifier) == ("on another rank", None)
    assert not (data / "out" / "classifier.pth").exists()
    assert read(data / "out" / STATE)["state"]["step"] == steps
    said = []
    outcome = run(data, said=said)
    assert f"resuming from epoch {steps / 3:.2f}" in said
    assert outcome.curve == whole.curve
    assert all(map(torch.equal, layer(data), layer(data, "whole")))


def test_given_again_a_finished_probe_takes_no_step(data):
    first, said = run(data), []
    assert run(data, said=said) == first
    assert not [line for line in said if line.startswith("epoch")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"seed": 1}, "seed = 0, asked for 1", id="seed"),
        pytest.param({"protocol": dataclasses.replace(SHORT, lr=2.0)}, "lr = 1.0, as", id="lr"),
        pytest.param(
            {"machine": dataclasses.replace(CPU, precision="bf16")},
            "precision = 'fp32', asked for 'bf16'",
            id="precision",
        ),
    ],
)
def test_it_does_not_go_on_with_other_settings(data, change, words):
    run(data)
    with pytest.raises(CheckpointError, match=f"{words}.*another --out for a new one"):
        run(data, **change)


@pytest.mark.parametrize("part", ["train", "test"])
def test_it_does_not_go_on_with_other_images(data, part):
    run(data)
    (data / part / "ant" / "0.png").rename(data / part / "ant" / "new.png")
    with pytest.raises(CheckpointError, match=f"was made with {part} ="):
        run(data)


def test_a_state_of_odd_values_is_refused_in_a_sentence(data):
    run(data)
    content = read(data / "out" / STATE)
    state = content["state"]
    for odd in (
        {"layer": {}},
        {"layer": state["layer"] | {"weight": torch.zeros(5, 5)}},
        {"layer": state["layer"] | {"optimizer": "x"}},
        {"unreadable": 3},
        {"curve": [{"nothing": 1}]},
    ):
        torch.save(content | {"state": state | odd}, data / "out" / STATE)
        with pytest.raises(CheckpointError, match=r"must hold the state of this layer .*failed"):
            run(data)


def test_it_does_not_go_on_with_another_backbone(data):
    run(data)
    other = tiny_encoder(data / "gone.pt")
    other.network.conv.bias += 1
    with pytest.raises(CheckpointError, match="was made with backbone ="):
        run(data, encoder=other)


def test_a_backbone_left_in_train_mode_is_caught_after_the_first_epoch(data):
    encoder = tiny_encoder(data / "gone.pt")
    encoder.network.train()
    with pytest.raises(CheckpointError, match=r"statistics changed: .*in train mode"):
        run(data, encoder=encoder)
    assert not (data / "out").exists()  # nothing that could be resumed


def test_the_backbone_trains_in_eval_mode_and_its_gradients_are_off(data):
    encoder, modes = tiny_encoder(data / "gone.pt"), set()
    encoder.network.register_forward_hook(
        lambda module, inputs, output: modes.add((module.training, output.requires_grad))
    )
    run(data, encoder=encoder)
    assert modes == {(False, False)}


@pytest.mark.parametrize("count", [2, 3])
def test_ranks_together_are_one_process(data, monkeypatch, count):
    whole = run(data, "whole")
    encoders = [tiny_encoder(data / "gone.pt") for _ in range(count)]
    monkeypatch.setattr(distributed, "any_rank", list)
    monkeypatch.setattr(
        distributed, "on_rank_zero", lambda first: first() if distributed.rank() == 0 else None
    )
    said = [[] for _ in range(count)]
    outcomes = on_ranks(
        monkeypatch, count, lambda rank: run(data, encoder=encoders[rank], said=said[rank])
    )
    assert said[0]
    assert not any(said[1:])
    for outcome in outcomes:
        assert outcome.ranks == count
        assert outcome.per_class == whole.per_class
        for ours, theirs in zip(outcome.curve, whole.curve, strict=True):
            assert dataclasses.astuple(ours) == pytest.approx(dataclasses.astuple(theirs))
    for ours, theirs in zip(layer(data), layer(data, "whole"), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_unreadable_images_are_skipped_and_named(data, monkeypatch):
    for name in ("train/ant/2.png", "test/bee/1.png"):
        (data / name).write_bytes(b"no image")
    outcome = run(data)
    assert (outcome.train_images, outcome.test_images) == (11, 3)
    assert [path for path, _ in outcome.unreadable] == [
        str(data / "train/ant/2.png"),
        str(data / "test/bee/1.png"),
    ]
    assert all("not an image" in reason for _, reason in outcome.unreadable)
    monkeypatch.setattr(distributed, "any_rank", list)
    monkeypatch.setattr(
        distributed, "on_rank_zero", lambda first: first() if distributed.rank() == 0 else None
    )
    encoders = [tiny_encoder(data / "gone.pt") for _ in range(2)]
    together = on_ranks(monkeypatch, 2, lambda rank: run(data, "both", encoders[rank]))
    assert all(found.unreadable == outcome.unreadable for found in together)


def test_training_images_of_which_none_can_be_read_are_refused(data):
    for path in (data / "train").glob("*/*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(DiloError, match="train must hold images that can be read, but none could"):
        run(data)


def test_a_rate_that_diverges_is_refused_before_it_is_saved(data):
    with pytest.raises(CheckpointError, match="give a smaller --lr"):
        run(data, protocol=dataclasses.replace(SHORT, lr=1e38))
    assert not (data / "out" / STATE).exists()


def test_a_batch_beyond_the_images_is_refused_before_any_work(data):
    with pytest.raises(DiloError, match=r"at most the 12 images of .*, got 256: give --batch 12"):
        run(data, protocol=Protocol(name="moco"))


def test_one_class_is_refused_before_any_work(tmp_path):
    for part in ("train", "test"):
        write_class_folders(tmp_path / part, ("ant",), each=6)
    with pytest.raises(DiloError, match="at least 2 classes, got 1"):
        run(tmp_path)


def test_in_bfloat16_the_backbone_alone_is_less_exact(data):
    exact = run(data, "exact")
    rounded = run(data, "rounded", machine=dataclasses.replace(CPU, precision="bf16"))
    ours, theirs = layer(data, "rounded"), layer(data, "exact")
    assert ours[0].dtype == torch.float32
    assert not ours[0].equal(theirs[0])
    torch.testing.assert_close(ours[0], theirs[0], rtol=0.05, atol=0.005)
    assert rounded.curve[-1].loss == pytest.approx(exact.curve[-1].loss, rel=0.02)


def test_a_second_probe_in_a_folder_is_refused(data):
    run(data)
    with (
        claim_run(data / "out", print, StopSignal()),
        pytest.raises(DiloError, match="must be trained in by one program at a time"),
    ):
        run(data)
    assert not (data / "out" / "claim.json").exists()
