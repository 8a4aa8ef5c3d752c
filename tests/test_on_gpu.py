"""What a GPU must do as a CPU does: train by every method, resume, probe; without one, skipped."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from support.folders import write_class_folders
from support.runs import METHODS_SMALL, SMALL, losses, method_recipe, photographs_and_masks

from dilo.train.data.images import find_image_set
from dilo.train.engine import checkpoint
from dilo.train.engine.pretrain import train
from dilo.train.runtime.options import RunOptions

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    # A loader's workers are forked from a process that has threads.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
CPU, GPU = torch.device("cpu"), torch.device("cuda")
#: How far the first loss may be from the CPU's in float32.
FAR = {"fp32": 0.02, "bf16": 0.1, "fp16": 0.05}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photographs_and_masks(tmp_path_factory.mktemp("data"))


def trained(method, made, run, device, precision, **options):
    """Train for six steps; give the losses."""
    machine = RunOptions(device=device, workers=0, log_every=1, precision=precision, **options)
    train(method_recipe(method), find_image_set(*made), run, machine, lambda line: None)
    return losses(run)


@pytest.mark.parametrize("precision", FAR)
@pytest.mark.parametrize("method", METHODS_SMALL)
def test_a_method_learns_on_a_gpu_what_it_learns_on_a_cpu(method, precision, made, tmp_path):
    expected = trained(method, made, tmp_path / "cpu", CPU, "fp32")
    found = trained(method, made, tmp_path / "gpu", GPU, precision)
    assert found[0] == pytest.approx(expected[0], rel=FAR[precision])
    # Later ones make ever more of the rounding, on networks so small.
    assert len(found) == len(expected)
    assert all(map(math.isfinite, found))


def test_compiled_a_step_has_the_loss_that_it_has_without(made, tmp_path):
    plain = trained("moco", made, tmp_path / "plain", GPU, "fp32")
    compiled = trained("moco", made, tmp_path / "compiled", GPU, "fp32", compile=True)
    assert compiled[0] == pytest.approx(plain[0], rel=0.02)


def command(package, *words):
    """Write the command line of a program."""
    code = f"import sys; from dilo.{package}.__main__ import main; sys.argv[0] = 'dilo'; main()"
    return [sys.executable, "-c", code, *map(str, words)]


def training(made, run, *more):
    """Write the command line of a training that adds in one order."""
    words = ["--images", made[0], "--masks", made[1], "--recipe", "moco-v2-small", "--out", run]
    words += ["--workers", 1, "--log-every", 1, "--device", GPU.type, "--deterministic", *more]
    for override in (*SMALL, "model.stem=small", "optimizer.epochs=8"):
        words += ["--set", override]
    return command("train", *words)


def weights(run):
    """Read what a run has learnt."""
    path = checkpoint.list_checkpoints(run)[0][1]
    return checkpoint.load(path)["state_dict"]


def test_killed_and_resumed_a_deterministic_run_ends_in_the_same_bits(made, tmp_path):
    plain, killed = tmp_path / "plain", tmp_path / "killed"
    subprocess.run(training(made, plain), check=True, capture_output=True)
    process = subprocess.Popen(
        training(made, killed, "--checkpoint-minutes", 0),
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    metrics, deadline = killed / "metrics.jsonl", time.monotonic() + 120
    while not metrics.exists() or metrics.read_text().count("\n") < 4:
        assert time.monotonic() < deadline
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(training(made, killed), check=True, capture_output=True)
    assert losses(killed) == losses(plain)
    expected, found = weights(plain), weights(killed)
    assert all(torch.equal(expected[name], value) for name, value in found.items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_probe_on_a_gpu_is_as_often_right_as_on_a_cpu(precision, made, tmp_path):
    trained("moco", made, tmp_path / "run", CPU, "fp32")
    folders = [
        write_class_folders(tmp_path / part, ("ant", "bee"), each=8) for part in ("train", "test")
    ]
    top1 = []
    for device, exactness in ((CPU, "fp32"), (GPU, precision)):
        words = ["linear", "--checkpoint", tmp_path / "run", "--train", folders[0], "--test"]
        words += [folders[1], "--epochs", 2, "--batch", 4, "--size", 32, "--workers", 0, "--json"]
        words += ["--device", device.type, "--precision", exactness]
        words += ["--out", tmp_path / f"probe-{device.type}"]
        done = subprocess.run(command("eval", *words), check=True, capture_output=True, text=True)
        top1.append(json.loads(done.stdout)["last"]["top1"])
    assert top1[1] == pytest.approx(top1[0], abs=13)  # two of the sixteen images


def test_a_training_says_which_gpu_it_is_on(made, tmp_path):
    done = subprocess.run(
        training(made, tmp_path / "run", "--max-minutes", 1e-6),
        check=True,
        capture_output=True,
        text=True,
    )
    name = torch.cuda.get_device_name()
    assert done.stderr.startswith(f"on {name}, ")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["device"] == name
