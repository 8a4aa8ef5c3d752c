"""`dilo-eval linear`: arguments in; exit status, words, JSON and files out."""

import json

import pytest
import torch
from support.cli import invoke
from support.folders import listed_folders, write_class_folders
from support.probes import write_small

from dilo.eval.cli import linear, main
from dilo.eval.linear.protocols import PROTOCOLS
from dilo.eval.linear.sweep import SweepConfig
from dilo.eval.models.classifier import load_classifier
from dilo.train.runtime.signals import StopSignal


@pytest.fixture
def data(tmp_path):
    """Write a run, 24 training images and 6 test images, in two classes."""
    write_small(tmp_path / "run" / "checkpoints" / "step-00000007.pt")
    write_class_folders(tmp_path / "train", ("ant", "bee"), each=12, seed=1)
    write_class_folders(tmp_path / "test", ("ant", "bee"), each=3, seed=2)
    return tmp_path


def evaluate(data, *more, status=0, checkpoint="run"):
    given = ["--checkpoint", data / checkpoint, "--train", data / "train", "--test", data / "test"]
    given += ["--device", "cpu", "--workers", 0]
    return invoke(main, "linear", *given, *more, status=status)


SHORT = ("--epochs", 6, "--batch", 8, "--lr", 0.01)


def test_it_says_what_it_found_and_writes_it_below_the_run(data):
    result = evaluate(data, *SHORT, "--json")
    record = json.loads(result.stdout)
    folder = data / "run" / "eval" / "linear"
    assert (folder / "linear.json").read_text() == result.stdout
    assert sorted(path.name for path in folder.iterdir()) == [
        "classifier.pth",
        "linear.json",
        "training.pt",
    ]
    assert (record["task"], record["step"], record["size"], record["arch"]) == (
        "linear",
        7,
        16,
        "resnet18",
    )
    assert record["last"] == {"epoch": 6, "top1": 100.0, "top5": 100.0}
    assert [result["epoch"] for result in record["epochs"]] == [1, 2, 3, 4, 5, 6]
    assert record["protocol"]["name"] == "paper"
    assert (record["is_protocol"], record["backbone_frozen"]) == (False, True)
    assert {"seconds", "versions"} <= record.keys()
    assert "not the protocol: epochs 6 instead of 100; batch 8 instead of 256" in result.stderr
    classifier = load_classifier(data / "run")
    assert classifier.encoder.source == folder / "classifier.pth"
    # The same command finds it done.
    again = evaluate(data, *SHORT)
    assert json.loads((folder / "linear.json").read_text())["epochs"] == record["epochs"]
    assert "last epoch,   6: top-1 100.00 %" in again.stdout


def test_fast_says_that_it_is_not_the_protocol(data):
    result = evaluate(data, "--fast", "--epochs", 3, "--json")
    record = json.loads(result.stdout)
    folder = data / "run" / "eval" / "linear-fast"
    assert (folder / "linear-fast.json").read_text() == result.stdout
    assert (record["fast"], record["is_protocol"]) == (True, False)
    assert record["last"]["top1"] == 100
    assert result.stdout.count("\n") == 1
    assert record["deviations"][0].startswith("not a published protocol")
    assert f"{len(SweepConfig().settings)} layers in one pass, 3 epochs" in result.stderr
    scores = load_classifier(folder).scores(torch.rand(1, 3, 16, 16))
    assert scores.shape == (1, 2)


def test_the_result_goes_where_the_user_says(data):
    write_small(data / "foreign.pt")
    evaluate(data, *SHORT, "--out", data / "there", checkpoint="foreign.pt")
    assert (data / "there" / "linear.json").is_file()
    result = evaluate(data, *SHORT, checkpoint="foreign.pt", status=3)
    assert "--out must say where the result goes" in result.stderr


def test_fast_takes_files_of_features_in_place_of_folders(data):
    folders = json.loads(evaluate(data, "--fast", "--epochs", 3, "--json").stdout)
    files = []
    for part in ("train", "test"):
        place = ("--device", "cpu", "--workers", 0, "--out", data / f"{part}.h5")
        checkpoint = ("--checkpoint", data / "run")
        invoke(main, "features", *checkpoint, "--images", data / part, *place)
        files += [f"--{part}", data / f"{part}.h5"]
    found = json.loads(evaluate(data, *files, "--fast", "--epochs", 3, "--json").stdout)
    assert {**found, "seconds": 0} == {**folders, "seconds": 0}
    refused = evaluate(data, *files, status=2).stderr
    assert "A file of features is for --fast only" in refused
    write_small(data / "other.pt", step=8)
    out = ("--out", data / "out")
    result = evaluate(data, *files, *out, "--fast", "--size", 24, checkpoint="other.pt", status=3)
    assert "must be what the checkpoint makes" in result.stderr


@pytest.mark.parametrize("fast", [(), ("--fast",)])
def test_unreadable_images_are_skipped_and_reported(data, fast):
    for name in ("train/ant/0.png", "test/bee/2.png"):
        (data / name).write_bytes(b"no image")
    more = ("--fast", "--epochs", 3) if fast else SHORT
    result = evaluate(data, *more, "--json")
    record = json.loads(result.stdout)
    assert (record["train_images"], record["test_images"]) == (23, 5)
    assert [entry["path"] for entry in record["skipped"]] == [
        str(data / "train" / "ant" / "0.png"),
        str(data / "test" / "bee" / "2.png"),
    ]
    assert "could not be read and are skipped" in result.stderr


def test_a_signal_ends_it_with_75_and_the_same_command_goes_on(data, monkeypatch):
    with monkeypatch.context() as patch:
        came = property(lambda self: "SIGUSR1", lambda self, value: None)
        patch.setattr(StopSignal, "name", came, False)
        result = evaluate(data, *SHORT, "--json", status=75)
    stopped = json.loads(result.stdout)
    assert stopped == {"task": "linear", "preempted": True, "signal": "SIGUSR1"}
    assert "interrupted by SIGUSR1; run the same command to resume" in result.stderr
    result = evaluate(data, *SHORT)
    assert "resuming from epoch 0.33" in result.stderr


def test_only_the_first_of_several_processes_speaks_and_writes(data, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    result = evaluate(data, *SHORT, "--json")
    assert (result.stdout, result.stderr) == ("", "")
    assert not (data / "run" / "eval" / "linear" / "linear.json").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param(("--protocol", "mine"), "'mine' is not one of", id="protocol"),
        pytest.param(("--lr", "0"), "must be positive and finite, got 0.0", id="lr"),
        pytest.param(("--lr", "nan"), "must be positive and finite, got nan", id="nan"),
        pytest.param(("--epochs", "0"), "x>=1", id="epochs"),
        pytest.param(
            ("--fast", "--protocol", "moco"), "--protocol cannot be given with --fast", id="fast"
        ),
        pytest.param(
            ("--fast", "--lr", "1"), "--lr cannot be given with --fast, which tries", id="rates"
        ),
    ],
)
def test_a_wrong_option_exits_with_2(data, more, words):
    assert words in " ".join(evaluate(data, *more, status=2).stderr.split())


@pytest.mark.parametrize(
    ("train", "test"), [("train", "run/../train"), (".", "test"), ("train", ".")]
)
def test_folders_that_share_images_exit_with_2(data, train, test):
    result = evaluate(data, "--train", data / train, "--test", data / test, status=2)
    assert "neither inside the other" in " ".join(result.stderr.split())


def test_fast_on_several_processes_exits_with_2(data, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "--fast runs in one process" in evaluate(data, "--fast", status=2).stderr


def test_a_batch_beyond_the_images_exits_with_3_before_any_work(data):
    result = evaluate(data, status=3)
    assert "at most the 24 images of" in result.stderr
    assert "got 256: give --batch 24 or less" in result.stderr
    assert "test images" not in result.stderr


def test_a_test_class_that_was_not_trained_exits_with_3(data):
    write_class_folders(data / "test", ("wasp",), each=1)
    for more in (SHORT, ("--fast",)):
        result = evaluate(data, *more, status=3)
        assert "must be among the 2 of the training images, got wasp" in result.stderr


@pytest.mark.parametrize("more", [(*SHORT,), ("--fast",)])
def test_a_single_class_exits_with_3(data, more):
    for part in ("train", "test"):
        for path in (data / part / "bee").iterdir():
            path.unlink()
    assert "at least 2 classes, got 1" in evaluate(data, *more, status=3).stderr


def test_other_settings_exit_with_3_and_say_what_differs(data):
    out = ("--out", data / "out")
    evaluate(data, *SHORT, *out)
    result = evaluate(data, *SHORT, *out, "--seed", 1, status=3)
    assert "was made with seed = 0, asked for 1" in result.stderr


def test_a_probe_that_waits_to_be_gone_on_with_is_not_passed_over(data, monkeypatch):
    with monkeypatch.context() as patch:
        came = property(lambda self: "SIGUSR1", lambda self, value: None)
        patch.setattr(StopSignal, "name", came, False)
        evaluate(data, *SHORT, status=75)
    result = evaluate(data, *SHORT, "--seed", 1, status=3)
    assert "was made with seed = 0, asked for 1" in result.stderr
    assert not (data / "run" / "eval" / "linear-2").exists()


def test_a_checkpoint_of_other_keys_exits_with_3(data):
    path = data / "other.pt"
    write_small(path)
    content = torch.load(path)
    del content["state_dict"]["module.encoder_q.layer3.0.conv1.weight"]
    torch.save(content, path)
    result = evaluate(data, *SHORT, "--out", data / "out", checkpoint="other.pt", status=3)
    assert "got no layer3.0.conv1.weight" in result.stderr


def test_the_protocols_of_the_option_are_those_there_are():
    assert set(linear.NAMES) == set(PROTOCOLS)


def test_a_probe_of_other_images_or_settings_goes_beside_and_goes_on_there(data, monkeypatch):
    evaluate(data, *SHORT)
    below = data / "run" / "eval"
    before = {path: path.read_bytes() for path in (below / "linear").iterdir()}
    with monkeypatch.context() as patch:
        came = property(lambda self: "SIGUSR1", lambda self, value: None)
        patch.setattr(StopSignal, "name", came, False)
        result = evaluate(data, *SHORT, "--seed", 5, status=75)
    assert f"this one goes to {below / f'linear-{data.name}'}" in result.stderr
    result = evaluate(data, *SHORT, "--seed", 5, "--json")
    assert "resuming from epoch" in result.stderr
    assert json.loads(result.stdout)["classifier"] == str(
        below / f"linear-{data.name}" / "classifier.pth"
    )
    assert (below / f"linear-{data.name}" / "linear.json").read_text() == result.stdout
    assert {path: path.read_bytes() for path in (below / "linear").iterdir()} == before


def test_a_fast_probe_of_other_settings_goes_beside_with_its_classifier(data):
    below = data / "run" / "eval"
    evaluate(data, "--fast", "--epochs", 3)
    before = {path: path.read_bytes() for path in (below / "linear-fast").iterdir()}
    record = json.loads(evaluate(data, "--fast", "--epochs", 2, "--json").stdout)
    assert record["classifier"] == str(below / f"linear-fast-{data.name}" / "classifier.pth")
    assert (below / f"linear-fast-{data.name}" / "linear-fast.json").exists()
    assert {path: path.read_bytes() for path in (below / "linear-fast").iterdir()} == before
    result = invoke(
        main, "gradients", "--checkpoint", data / "run", "--images", data / "test", status=3
    )
    assert f"linear-fast-{data.name}" in result.stderr


def several(data):
    """Name a second checkpoint of the run."""
    untrained = write_small(data / "run" / "checkpoints" / "step-00000000.pt", step=0)
    return "--checkpoint", f"untrained={untrained}"


@pytest.mark.parametrize("fast", [(), ("--fast",)])
def test_several_checkpoints_have_a_layer_each_and_are_compared(data, fast, monkeypatch):
    more = ("--fast", "--epochs", 2) if fast else SHORT
    task = "linear-fast" if fast else "linear"
    listed = listed_folders(monkeypatch)
    result = evaluate(data, *several(data), *more, "--json")
    assert listed == [data / "train", data / "test"]  # once for all
    record = json.loads(result.stdout)
    below = data / "run" / "eval"
    for name, folder in (("run", task), ("untrained", f"{task}-step-0")):
        assert record["checkpoints"][name] == json.loads(
            (below / folder / f"{task}.json").read_text()
        )
    (pair,) = record["pairs"]
    assert (pair["first"], pair["second"]) == ("run", "untrained")
    assert pair["top1"]["last"]["images"] == 6
    outcomes = record["checkpoints"]["run"]["outcomes"]
    assert (outcomes["images"], outcomes["right"]) == (6, {"last": "/A=="})


def test_several_are_resumed_where_they_were_interrupted(data, monkeypatch):
    untrained = several(data)
    evaluate(data, *SHORT)
    with monkeypatch.context() as patch:
        came = property(lambda self: "SIGUSR1", lambda self, value: None)
        patch.setattr(StopSignal, "name", came, False)
        evaluate(data, *untrained, *SHORT, status=75)
    table = evaluate(data, *untrained, *SHORT)
    assert "resuming from epoch 6.00" in table.stderr
    assert "resuming from epoch 0.33" in table.stderr
    assert table.stdout.splitlines()[-1].split(maxsplit=1) == ["top-1", "0.0 (0.0 to 0.0)"]


def test_several_go_to_folders_of_their_names_in_out(data):
    write_small(data / "foreign.pt")
    given = ("--checkpoint", f"a={data / 'foreign.pt'}", "--fast", "--epochs", 1)
    evaluate(data, *given, "--out", data / "out")
    assert sorted(path.name for path in (data / "out").iterdir()) == ["a", "run"]
    assert (data / "out" / "a" / "linear-fast.json").exists()
    # Before any work, a place is looked for, for each.
    words = evaluate(data, *given, status=3).stderr
    assert "--out must say where the result goes" in words
    assert not (data / "run" / "eval").exists()
    bad = ("--checkpoint", f"../b={data / 'foreign.pt'}", "--out", data / "out")
    assert "names must be letters, digits" in " ".join(
        evaluate(data, *bad, status=2).stderr.split()
    )
