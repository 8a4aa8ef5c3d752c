"""A run from its start to its end: what it claims, keeps, reads out, and leaves where it fails."""

import json
import os
import signal
import sys
import time

import pytest
from support.folders import write_class_folders
from support.launching import start
from support.runs import SMALL, losses, machine, small_recipe

from dilo.pipeline.errors import AccessError, CheckpointError, DiloError
from dilo.train.cli import main
from dilo.train.data.images import find_image_set
from dilo.train.engine import checkpoint
from dilo.train.engine.claim import claim_run
from dilo.train.engine.pretrain import Pretraining, train
from dilo.train.monitor.knn_monitor import KnnMonitor
from dilo.train.runtime.signals import StopSignal

RECIPE = small_recipe("optimizer.epochs=3", "paste.probability=0")
STOP = 1e-9


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Thirteen images of two classes: three steps an epoch."""
    root = write_class_folders(tmp_path_factory.mktemp("data") / "a", ("ant", "bee"), each=6)
    (root / "ant" / "6.png").write_bytes((root / "ant" / "5.png").read_bytes())
    return find_image_set(root, None)


@pytest.fixture(scope="module")
def undisturbed(source, module_folder):
    run = module_folder / "undisturbed"
    train(RECIPE, source, run, machine(knn_every=1), silent)
    return run


def silent(line):
    """Say nothing."""


def kept(run):
    """List the steps of the checkpoints."""
    return [step for step, _ in checkpoint.list_checkpoints(run)]


def read_outs(run):
    """List the steps of the read-outs."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line["step"] for line in lines if "knn_top1" in line]


def files(run):
    """Read all that a run has left."""
    return {p.relative_to(run): p.read_bytes() for p in run.rglob("*") if p.is_file()}


def tear(run, *steps):
    """Cut checkpoints short."""
    for step in steps:
        path = checkpoint.checkpoint_path(run, step)
        path.write_bytes(path.read_bytes()[:1000])


class Stop(Exception):
    """Stands for whatever goes wrong."""


def failing_at(patch, number):
    """Let the step of a number fail."""
    plain = Pretraining.learning_rate

    def learning_rate(self, step):
        if step == number:
            raise Stop("no more")
        return plain(self, step)

    patch.setattr(Pretraining, "learning_rate", learning_rate)


def test_after_a_fallback_what_is_said_to_be_written_is_there_and_goes_on(
    source, undisturbed, tmp_path
):
    train(RECIPE, source, tmp_path, machine(), silent)
    assert kept(tmp_path) == [9, 6, 0]
    tear(tmp_path, 9)
    said = []
    result = train(RECIPE, source, tmp_path, machine(max_minutes=STOP), said.append)
    assert (result.step, result.checkpoint.exists()) == (7, True)
    assert any("falling back to step-00000006.pt" in line for line in said)
    assert kept(tmp_path) == [7, 6, 0]
    assert (tmp_path / "checkpoints" / "damaged" / "step-00000009.pt").exists()
    result = train(RECIPE, source, tmp_path, machine(max_minutes=STOP), silent)
    assert (result.step, kept(tmp_path)) == (8, [8, 7, 0])
    train(RECIPE, source, tmp_path, machine(), silent)
    assert losses(tmp_path) == losses(undisturbed)


@pytest.mark.parametrize("how", ["auto", "must"])
def test_a_run_of_which_step_0_alone_can_be_read_stops_and_nothing_is_lost(source, tmp_path, how):
    train(RECIPE, source, tmp_path, machine(), silent)
    tear(tmp_path, 6, 9)
    before = files(tmp_path)
    with pytest.raises(CheckpointError, match="the training would be lost"):
        train(RECIPE, source, tmp_path, machine(max_minutes=STOP, resume=how), silent)
    assert files(tmp_path) == before


def test_a_second_training_in_a_folder_is_refused_and_changes_nothing(source, tmp_path):
    train(RECIPE, source, tmp_path, machine(max_minutes=STOP), silent)
    with claim_run(tmp_path, silent, StopSignal()):
        before = files(tmp_path)
        with pytest.raises(DiloError, match=rf"one program at a time, got process {os.getpid()}"):
            train(RECIPE, source, tmp_path, machine(), silent)
        assert files(tmp_path) == before
    train(RECIPE, source, tmp_path, machine(), silent)
    assert not (tmp_path / "claim.json").exists()


def test_a_run_that_was_taken_over_writes_no_checkpoint_and_no_state(source, tmp_path, monkeypatch):
    plain = Pretraining.learning_rate

    def learning_rate(self, step):
        claim = tmp_path / "claim.json"
        claim.write_text(claim.read_text().replace('"token": "', '"token": "0'))
        return plain(self, step)

    monkeypatch.setattr(Pretraining, "learning_rate", learning_rate)
    with pytest.raises(DiloError, match="which was taken for dead"):
        train(RECIPE, source, tmp_path, machine(max_minutes=STOP), silent)
    assert kept(tmp_path) == [0]
    assert (tmp_path / "state").read_text() == "running\n"


def test_a_run_that_fails_says_so_and_why_and_the_next_start_goes_on(
    source, undisturbed, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        failing_at(patch, 4)
        with pytest.raises(Stop):
            train(RECIPE, source, tmp_path, machine(), silent)
    assert (tmp_path / "state").read_text() == "failed\n"
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["failure"]["what"] == "Stop: no more"
    train(RECIPE, source, tmp_path, machine(), silent)
    assert (tmp_path / "state").read_text() == "done\n"
    assert "failure" not in json.loads((tmp_path / "run.json").read_text())
    assert losses(tmp_path) == losses(undisturbed)


def test_a_start_that_is_refused_changes_nothing_and_makes_no_folder(source, tmp_path, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    for options in ({"tensorboard": True}, {"resume": "must"}):
        with pytest.raises(DiloError):
            train(RECIPE, source, run, machine(**options), silent)
        assert not run.exists()
    train(RECIPE, source, run, machine(), silent)
    before = files(run)
    for options in ({"tensorboard": True}, {"resume": "never"}):
        with pytest.raises(DiloError):
            train(RECIPE, source, run, machine(**options), silent)
        assert files(run) == before


def test_records_without_checkpoints_are_not_overwritten(source, tmp_path):
    train(RECIPE, source, tmp_path, machine(), silent)
    (tmp_path / "checkpoints").rename(tmp_path / "moved")
    before = files(tmp_path)
    with pytest.raises(CheckpointError, match=r"got metrics.jsonl, run.json, recipe.toml of a run"):
        train(RECIPE, source, tmp_path, machine(), silent)
    assert files(tmp_path) == before


def test_a_start_that_was_killed_before_its_first_checkpoint_is_begun_again(
    source, tmp_path, monkeypatch
):
    def stop(*_, **__):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_torch_file", stop)
        with pytest.raises(Stop):
            train(RECIPE, source, tmp_path, machine(), silent)
    assert train(RECIPE, source, tmp_path, machine(max_minutes=STOP), silent).step == 1


def test_each_read_out_stands_once_though_a_run_ends_in_its_first_epoch_and_in_a_read_out(
    source, undisturbed, tmp_path, monkeypatch
):
    assert read_outs(undisturbed) == [0, 3, 6, 9]
    with monkeypatch.context() as patch:
        failing_at(patch, 1)
        with pytest.raises(Stop):
            train(RECIPE, source, tmp_path, machine(knn_every=1), silent)
    assert read_outs(tmp_path) == [0]
    plain = KnnMonitor.evaluate

    def line(self, encoders, step, *more):
        if step in (6, 9):
            raise Stop
        return plain(self, encoders, step, *more)

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(KnnMonitor, "evaluate", line)
            with pytest.raises(Stop):
                train(RECIPE, source, tmp_path, machine(knn_every=1), silent)
            assert kept(tmp_path)[0] == 6
    train(RECIPE, source, tmp_path, machine(knn_every=1), silent)
    lines = [(run / "metrics.jsonl").read_text().splitlines() for run in (tmp_path, undisturbed)]
    of_both = [[json.loads(line) for line in run] for run in lines]
    keys = ("step", "epoch", "loss", "knn_top1", "knn_k")
    assert len({str([{k: line.get(k) for k in keys} for line in run]) for run in of_both}) == 1


@pytest.mark.parametrize("at", [0, 3, 9])
def test_a_signal_during_a_read_out_gives_it_up_and_the_next_start_makes_up_for_it(
    source, undisturbed, tmp_path, monkeypatch, at
):
    plain = KnnMonitor.evaluate

    def line(self, encoders, step, *more):
        if step == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, encoders, step, *more)

    with monkeypatch.context() as patch:
        patch.setattr(KnnMonitor, "evaluate", line)
        result = train(RECIPE, source, tmp_path, machine(knn_every=1), silent)
    assert (result.step, result.signal) == (at, "SIGTERM")
    assert (tmp_path / "state").read_text() == "preempted\n"
    assert kept(tmp_path)[0] == at
    assert at not in read_outs(tmp_path)
    train(RECIPE, source, tmp_path, machine(knn_every=1), silent)
    assert (tmp_path / "state").read_text() == "done\n"
    assert read_outs(tmp_path) == [0, 3, 6, 9]
    assert losses(tmp_path) == losses(undisturbed)


def test_an_image_that_the_system_does_not_give_now_ends_the_run_in_words(
    source, tmp_path, monkeypatch
):
    from dilo.pipeline.errors import ImageError
    from dilo.pipeline.images import folder

    def read(path):
        raise ImageError("Too many open files", 24)

    monkeypatch.setattr(folder, "read_file", read)
    with pytest.raises(AccessError, match=r"\.png: Too many open files: .*ulimit -n 4096"):
        train(RECIPE, source, tmp_path, machine(), silent)
    assert (tmp_path / "state").read_text() == "failed\n"


def test_a_signal_to_all_processes_while_a_run_reads_out_leaves_a_checkpoint_and_status_75(
    tmp_path,
):
    images = write_class_folders(tmp_path / "images", ("ant", "bee"), each=150)
    run = tmp_path / "run"
    words = ["--images", images, "--out", run, "--workers", 1, "--device", "cpu"]
    words += ["--recipe", "moco-v2-small", "--knn-every", 1]
    for override in (*SMALL, "paste.probability=0"):
        words += ["--set", override]
    errors = tmp_path / "errors"
    process = start(lambda: main([*map(str, words)]), errors)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").exists():
        assert time.monotonic() < deadline
        assert process.is_alive(), errors.read_text()
        time.sleep(0.002)
    time.sleep(0.15)  # its worker is started, and reads
    os.killpg(process.pid, signal.SIGTERM)
    process.join(timeout=60)
    said = errors.read_text()
    assert process.exitcode == 75, said
    assert "Traceback" not in said
    assert (run / "state").read_text() == "preempted\n"
    assert kept(run)
