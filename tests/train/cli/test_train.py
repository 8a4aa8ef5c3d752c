"""What the command hands to a training, and how it tells of its end: the training is a stand-in."""

import json
import math
import sys
import types
from pathlib import Path

import pytest
from support.cli import invoke
from support.folders import write_class_folders
from support.photographs import photograph_folder
from support.stores import even_store

from dilo.pipeline.images.listing import find_images
from dilo.pipeline.images.selection import ImageSelection
from dilo.train.cli import main
from dilo.train.cli.train import _paste_warnings, _source
from dilo.train.engine import pretrain
from dilo.train.recipes import load_recipe
from dilo.train.runtime import devices
from dilo.train.runtime.options import RunOptions

RESULT = {
    "step": 7,
    "steps": 40,
    "checkpoint": Path("c.pt"),
    "loss": 2.5,
    "unreadable": 0,
    "signal": "",
}


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Give a command line without what is tested, and what the stand-in was asked for."""
    images = write_class_folders(tmp_path / "images", ("ant", "bee"), each=2)
    words = ["--images", images, "--recipe", "moco-v2-small", "--set", "paste.probability=0"]
    asked = {"result": RESULT}

    def train(recipe, source, run, machine, say, *, backgrounds, init):
        asked.update(run=run, machine=machine, init=init)
        say("training")
        return types.SimpleNamespace(**asked["result"])

    monkeypatch.setattr(pretrain, "train", train)
    return [*words, "--out", tmp_path / "run", "--device", "cpu"], asked


def test_the_options_reach_the_machine(command, tmp_path):
    words, asked = command
    more = [
        "--precision",
        "bf16",
        "--deterministic",
        "--compile",
        "--accumulate",
        4,
        "--workers",
        3,
    ]
    more += ["--resume", "must", "--checkpoint-minutes", 2, "--keep-every", 5, "--max-minutes", 60]
    more += ["--init", tmp_path]
    more += ["--log-every", 7, "--tensorboard", "--knn-every", 2, "--knn-test", tmp_path]
    invoke(main, *words, *more)
    assert (asked["run"], asked["init"]) == (tmp_path / "run", tmp_path)
    assert asked["machine"] == RunOptions(
        device=asked["machine"].device,
        workers=3,
        precision="bf16",
        deterministic=True,
        compile=True,
        accumulate=4,
        resume="must",
        checkpoint_minutes=2.0,
        keep_every=5,
        log_every=7,
        tensorboard=True,
        knn_every=2,
        knn_test=tmp_path,
        max_minutes=60.0,
    )
    assert asked["machine"].device.type == "cpu"


def test_unless_given_they_are_the_machines_own_defaults(command):
    words, asked = command
    invoke(main, *words, "--workers", 0)
    assert asked["machine"] == RunOptions(device=asked["machine"].device, workers=0)


@pytest.mark.parametrize(
    ("result", "status", "note"),
    [
        pytest.param(RESULT, 0, "", id="done"),
        pytest.param(
            RESULT | {"signal": "SIGTERM"},
            75,
            "interrupted by SIGTERM; a checkpoint is written: the same command resumes",
            id="preempted",
        ),
        pytest.param(
            RESULT | {"unreadable": 3, "loss": math.nan},
            0,
            "3 samples were replaced: their images could not be read",
            id="unreadable images, no step taken",
        ),
    ],
)
def test_the_end_is_a_line_or_json_and_an_exit_status(command, result, status, note):
    line, asked = command
    asked["result"] = result
    assert invoke(main, *line, status=status).stdout == "step 7 of 40: c.pt\n"
    shown = invoke(main, *line, "--json", status=status)
    assert note in shown.stderr
    loss = None if math.isnan(result["loss"]) else result["loss"]
    told = {"checkpoint": "c.pt", "loss": loss, "preempted": status == 75}
    assert json.loads(shown.stdout) == RESULT | result | told


@pytest.mark.parametrize(("rank", "speaks"), [("0", True), ("1", False)])
def test_of_several_processes_the_first_alone_speaks(command, monkeypatch, rank, speaks):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    shown = invoke(main, *command[0], "--json")
    assert bool(shown.stdout) == bool(shown.stderr) == speaks


def test_a_bench_needs_no_run_and_prints_its_table(command, monkeypatch):
    words, asked = command
    fake = types.SimpleNamespace(
        bench=lambda recipe, source, machine, stores, say: {"images_per_second": 9.5},
        bench_table=lambda found: [f"{found['images_per_second']} images a second"],
    )
    monkeypatch.setitem(sys.modules, "dilo.train.engine.bench", fake)
    out = words.index("--out")
    shown = invoke(main, *words[:out], *words[out + 2 :], "--bench", "--json")
    assert json.loads(shown.stdout) == {"images_per_second": 9.5}
    assert "run" not in asked


@pytest.mark.parametrize("option", ["--bench", "--preview", "--pastes"])
def test_what_is_for_one_process_is_refused_under_torchrun_by_the_first(
    command, monkeypatch, tmp_path, option
):
    words = [*command[0], option, *([] if option == "--bench" else [tmp_path / "sheet.png"])]
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, speaks in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        shown = invoke(main, *words, status=2)
        message = f"{option} is for one process, got 2 (WORLD_SIZE): give it without torchrun."
        assert (message in " ".join(shown.stderr.split())) == speaks
    assert not (tmp_path / "sheet.png").exists()


def test_device_and_precision_are_said_first_and_a_gpu_that_serves_nobody_ends_the_command(
    command, monkeypatch
):
    words, _ = command
    lines = invoke(main, *words).stderr.splitlines()
    assert (lines[0], lines[-1]) == ("on the CPU, fp32", "training")
    monkeypatch.setattr(devices, "probe_cuda", lambda: (False, "NVIDIA driver 550.54"))
    shown = invoke(main, *words[:-2], status=3)
    assert shown.stderr.startswith("Error: --device auto needs a GPU that torch can use, got NVID")


@pytest.mark.parametrize(
    ("override", "warning"),
    [
        ("moco.queue=5", "moco.queue = 5 is more than the 4 images, "),
        ("moco.queue=4", ""),
        ("method=cmc", "memory.negatives = 4096 is more than the 4 images"),
        ("method=naive", ""),
    ],
)
def test_negatives_that_are_more_than_the_images_are_warned_of(command, override, warning):
    words, _ = command
    shown = invoke(main, *words, "--set", override, "--set", "moco.temperature=0.2")
    said = [line for line in shown.stderr.splitlines() if "warning" in line]
    assert len(said) == bool(warning)
    assert all(warning in line for line in said)


def test_a_test_folder_without_a_read_out_is_wrong_usage(command, tmp_path):
    shown = invoke(main, *command[0], "--knn-test", tmp_path, status=2)
    assert "--knn-test needs --knn-every K" in shown.stderr


def test_pastes_that_never_happen_are_warned_of(tmp_path):
    recipe = load_recipe("moco-v2-small")
    images = photograph_folder(tmp_path / "images", 2)
    store = even_store(tmp_path / "masks", dict.fromkeys(find_images(images), 0))
    lines = []
    _source(ImageSelection(images), store, recipe, "moco-v2-small", lines.append)
    assert lines[0] == "2 images, 2 never pasted because their mask covers under 0.01"
    assert lines[1].startswith("warning: paste.probability = 0.3, but no mask covers 0.01 of its")
    assert not _paste_warnings(load_recipe("moco-v2-small", ["paste.probability=0"]), 0)
    assert not _paste_warnings(recipe, 1)
