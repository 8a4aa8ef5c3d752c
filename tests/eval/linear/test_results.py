"""What is said of a probe, to machines and to people."""

import dataclasses
import json

import pytest
from support.folders import write_class_folders
from support.probes import tiny_encoder

from dilo.eval.features.folders import labelled_folder
from dilo.eval.linear.protocols import PROTOCOLS, with_overrides
from dilo.eval.linear.results import (
    EpochResult,
    ProbeResult,
    linear_record,
    linear_table,
    unreadable_reasons,
)

CURVE = (EpochResult(1, 30.0, 2.5, 40.0, 80.0), EpochResult(2, 3.0, 1.25, 35.0, 90.0))


@pytest.fixture
def outcome(tmp_path):
    return ProbeResult(
        curve=CURVE,
        per_class={"ant": 50.0, "bee": 20.0},
        outcomes={"images": 4},
        classes=10,
        train_images=11,
        test_images=4,
        unreadable=(("train/a.png", "not an image"),),
        classifier=tmp_path / "classifier.pth",
    )


def record_of(outcome, tmp_path, protocol=PROTOCOLS["moco"]):
    encoder = tiny_encoder(tmp_path / "backbone.pt")
    return linear_record(encoder, protocol, outcome, precision="fp32", seed=3)


def test_the_record_has_the_protocol_the_curve_and_both_ends(outcome, tmp_path):
    record = record_of(outcome, tmp_path)
    assert json.loads(json.dumps(record)) == {
        "task": "linear",
        "checkpoint": str(tmp_path / "backbone.pt"),
        "step": None,
        "size": 16,
        "arch": "resnet50",
        "space": "rgb",
        "fast": False,
        "protocol": json.loads(json.dumps(dataclasses.asdict(PROTOCOLS["moco"]))),
        "is_protocol": True,
        "deviations": [],
        "precision": "fp32",
        "seed": 3,
        "ranks": 1,
        "epochs": [
            {"epoch": 1, "lr": 30.0, "loss": 2.5, "top1": 40.0, "top5": 80.0},
            {"epoch": 2, "lr": 3.0, "loss": 1.25, "top1": 35.0, "top5": 90.0},
        ],
        "best": {"epoch": 1, "top1": 40.0, "top5": 80.0},
        "last": {"epoch": 2, "top1": 35.0, "top5": 90.0},
        "per_class": {"ant": 50.0, "bee": 20.0},
        "outcomes": {"images": 4},
        "classes": 10,
        "train_images": 11,
        "test_images": 4,
        "skipped": [{"path": "train/a.png", "reason": "not an image"}],
        "backbone_frozen": True,
        "classifier": str(tmp_path / "classifier.pth"),
    }


def test_people_read_both_ends_beside_chance(outcome, tmp_path):
    assert linear_table(record_of(outcome, tmp_path)) == [
        "linear probe, protocol moco",
        "best epoch,   1: top-1 40.00 %, top-5 80.00 %",
        "last epoch,   2: top-1 35.00 %, top-5 90.00 %",
        "chance: 10.00 %, 50.00 %; 11 training and 4 test images, 10 classes, 1 skipped",
        "by class: ant 50.0 %, bee 20.0 %",
        "backbone unchanged (verified)",
    ]


def test_what_is_not_the_protocol_is_said_first(outcome, tmp_path):
    record = record_of(outcome, tmp_path, with_overrides(PROTOCOLS["cmc"], lr=1))
    assert (record["is_protocol"], record["deviations"]) == (False, ["lr 1 instead of 30"])
    assert linear_table(record)[0] == (
        "linear probe, protocol cmc, with deviations: lr 1 instead of 30"
    )


def test_a_loss_above_guessing_is_pointed_out(outcome, tmp_path):
    curve = (*CURVE, EpochResult(3, 3.0, 250.0, 10.0, 50.0))
    lines = linear_table(record_of(dataclasses.replace(outcome, curve=curve), tmp_path))
    (line,) = [line for line in lines if "guessing" in line]
    assert line.startswith("the last epoch's loss, 250, is above that of guessing, 2.303: ")


def test_of_many_classes_the_ends_are_named(outcome, tmp_path):
    names = {f"c{i}": 10.0 * i for i in range(8)}
    lines = linear_table(record_of(dataclasses.replace(outcome, per_class=names), tmp_path))
    assert (
        "best classes: c7 70.0 %, c6 60.0 %, c5 50.0 %; worst: c2 20.0 %, c1 10.0 %, c0 0.0 %"
        in lines
    )


@pytest.mark.parametrize("chosen", [0.1, 1.0])
def test_a_sweep_is_a_table_and_its_edge_is_pointed_out(chosen):
    trials = [
        {"lr": lr, "weight_decay": decay, "top1": None if lr == 10 else 10 * lr, "loss": 1.0}
        for decay in (0.0, 0.01)
        for lr in (0.1, 1.0, 10.0)
    ]
    record = {
        "fast": True,
        "sweep": trials,
        "chosen": {"lr": chosen, "weight_decay": 0.01, "top1": 1.0, "loss": 1.0},
        "held_out": 50,
        "held_out_noise": 4.24,
        "near_the_best": 2,
        "last": {"epoch": 3, "top1": 31.0, "top5": 79.5},
        "per_class": {"ant": 31.0, "bee": 31.0},
        "classes": 2,
        "train_images": 500,
        "test_images": 200,
        "skipped": [],
    }
    lines = linear_table(record)
    assert lines[:5] == [
        "top-1 on 50 held-out training images, by learning rate and decay:",
        "        lr      wd 0   wd 0.01",
        "       0.1    1.00 %    1.00 %",
        "         1   10.00 %   10.00 %",
        "        10  diverged  diverged",
    ]
    assert any(line.startswith(f"chosen: lr {chosen:g}, weight decay 0.01, ") for line in lines)
    assert "on the test images: top-1 31.00 %, top-5 79.50 %" in lines
    words = "smallest loss, 1, of the 2 within 4.2 points of the highest top-1 (the standard error"
    assert any(words in line for line in lines)
    assert any("one beyond may be better" in line for line in lines) == (chosen == 0.1)
    assert lines[-1].startswith("not a published protocol")


def test_a_skipped_image_is_named_with_its_reason(tmp_path):
    folder = labelled_folder(write_class_folders(tmp_path, ("ant", "bee"), each=2))
    (tmp_path / "ant" / "1.png").write_bytes(b"no image")
    (tmp_path / "bee" / "0.png").unlink()
    (first, broken), (second, gone), (third, sound) = unreadable_reasons(folder, (1, 2, 3))
    assert [first, second, third] == [
        str(tmp_path / name) for name in ("ant/1.png", "bee/0.png", "bee/1.png")
    ]
    assert "not an image" in broken
    assert "No such file" in gone
    assert sound == "could not be read when it was its turn"
