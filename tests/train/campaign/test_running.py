"""A campaign runs what is missing, whatever fails or is killed; its programs are stand-ins."""

import json
import os
import sys
import threading
import time

import pytest
from support import campaigns
from support.campaigns import calls, run_campaign
from support.launching import fork

from dilo.pipeline.errors import DiloError
from dilo.train.campaign.progress import progress_of
from dilo.train.campaign.running import require_own
from dilo.train.engine.claim import claim_run
from dilo.train.runtime.signals import StopSignal

FILE = """
seeds = [0]
[train]
images = "photos"
[arms.moco]
[arms.paste]
[evaluate.knn]
"""
ALL = ["train moco-0", "knn moco-0", "train paste-0", "knn paste-0"]
ENDING = ["table moco-0 paste-0", "report moco-0 paste-0"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Install the stand-ins, and give a folder with a campaign."""
    campaigns.install(tmp_path / "programs", monkeypatch)
    (tmp_path / "campaign.toml").write_text(FILE)
    return tmp_path


def silent(line):
    """Say nothing."""


def change(folder, old, new):
    """Change the file of the campaign."""
    path = folder / "campaign.toml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def start(folder):
    """Start the campaign in a process of its own, which has what this one has imported."""
    return fork(lambda: run_campaign(folder, silent), folder / "errors")


def wait_for(path):
    """Wait until a program has written a file."""
    while not path.exists():
        time.sleep(0.02)


def test_all_is_run_once_and_then_only_the_table_and_the_page_are_made_anew(folder):
    said = []
    runs = run_campaign(folder, said.append)
    assert calls(folder) == ALL + ENDING
    assert [progress_of(run).state for run in runs] == ["done"] * 2
    assert f"moco-0: {runs[0].train.line()}" in said
    run_campaign(folder, silent)
    assert calls(folder) == ENDING


def test_a_run_that_fails_stops_no_other_and_is_tried_again(folder):
    change(folder, "[arms.moco]", '[arms.moco]\nimages = "broken"')
    said = []
    runs = run_campaign(folder, said.append)
    without = [line for line in ALL if not line.startswith("knn moco")]
    assert calls(folder) == [*without, "table paste-0", "report paste-0"]
    failed = progress_of(runs[0])
    assert (failed.state, failed.states) == ("failed", {"train": "failed", "knn": "missing"})
    assert failed.reasons == {"train": "no images in broken: give another folder"}
    assert "moco-0: train failed with status 1" in said
    log = (runs[0].logs / "train.log").read_text()
    assert log == (
        f"$ {runs[0].train.line()}\nError: no images in broken: give another folder\nand more\n"
        "exit status 1\n"
    )
    change(folder, 'images = "broken"', "")
    assert [progress_of(run).state for run in run_campaign(folder, silent)] == ["done"] * 2
    retried = [line for line in ALL if "moco" in line]
    assert calls(folder) == retried + ENDING


def test_a_run_that_was_interrupted_once_and_is_refused_later_has_failed(folder):
    change(folder, "[arms.paste]\n", "")
    change(folder, "photos", "broken")
    run = folder / "out" / "runs" / "moco-0"
    run.mkdir(parents=True)
    (run / "state").write_text("preempted\n")
    assert [progress_of(run).state for run in run_campaign(folder, silent)] == ["failed"]


def test_an_evaluation_that_fails_stops_neither_the_next_nor_the_next_run(folder):
    change(folder, "[evaluate.knn]", "[evaluate.knn]\nbroken = true\n[evaluate.localize]")
    runs = run_campaign(folder, silent)
    assert [progress_of(run).states for run in runs] == [
        {"train": "done", "knn": "failed", "localize": "done"}
    ] * 2
    assert progress_of(runs[0]).reasons == {"knn": "no test images"}


def test_an_evaluation_with_other_options_is_run_again_and_no_training(folder):
    run_campaign(folder, silent)
    calls(folder)
    change(folder, "[evaluate.knn]", "[evaluate.knn]\nk = 5")
    run_campaign(folder, silent)
    assert calls(folder) == [line for line in ALL if line.startswith("knn")] + ENDING
    change(folder, "k = 5", "k = 5\nworkers = 2")  # which changes no result
    run_campaign(folder, silent)
    assert calls(folder) == ENDING


def test_a_training_with_other_options_is_given_to_dilo_train_which_knows_what_to_do(folder):
    run_campaign(folder, silent)
    calls(folder)
    change(folder, "[arms.moco]", "[arms.moco]\nsteps = 8")
    run_campaign(folder, silent)
    # It went on to another step, and so is measured again.
    assert calls(folder) == [line for line in ALL if "moco" in line] + ENDING


def test_runs_of_a_campaign_that_grew_are_all_there_is_to_do(folder):
    run_campaign(folder, silent)
    (folder / "out" / "report" / "old.png").touch()
    calls(folder)
    change(folder, "[0]", "[0, 1]")
    runs = run_campaign(folder, silent)
    done = calls(folder)
    assert done[:4] == ["train moco-1", "knn moco-1", "train paste-1", "knn paste-1"]
    assert [progress_of(run).state for run in runs] == ["done"] * 4
    # dilo-eval keeps the page of other runs, so that of fewer goes first.
    assert sorted(os.listdir(folder / "out" / "report")) == ["report.json", "report.txt"]


def test_a_run_of_another_process_is_passed_over_and_the_others_are_run(folder):
    said = []
    with claim_run(folder / "out" / "logs" / "moco-0", silent, StopSignal()):
        runs = run_campaign(folder, said.append)
        progress = progress_of(runs[0])
        assert (progress.state, progress.holder.pid) == ("running", os.getpid())
    assert calls(folder)[:-2] == ALL[2:]
    assert any(line.startswith(f"moco-0 is passed over: process {os.getpid()}") for line in said)
    run_campaign(folder, silent)
    assert calls(folder) == ALL[:2] + ENDING


def test_two_campaigns_at_once_do_each_run_once_and_both_end(folder):
    change(folder, "[0]", "[0, 1]")
    processes = [start(folder) for _ in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    done = calls(folder)
    runs = [f"{arm}-{seed}" for seed in (0, 1) for arm in ("moco", "paste")]
    single = sorted(line for line in done if line.startswith(("train", "knn")))
    assert single == sorted(f"{what} {run}" for what in ("train", "knn") for run in runs)
    # The last to end has seen the runs of both.
    assert "table moco-0 moco-1 paste-0 paste-1" in done[-3:]


def test_a_run_that_another_training_has_is_passed_over(folder):
    said = []
    with claim_run(folder / "out" / "runs" / "moco-0", silent, StopSignal()):
        run_campaign(folder, said.append)
    words = f"moco-0 is passed over: process {os.getpid()} on "
    assert any(line.startswith(words) and line.endswith(", has it") for line in said)


def test_a_signal_is_handed_to_the_training_and_nothing_counts_as_failed(folder):
    change(folder, "photos", "slow")
    stop = StopSignal()
    run = folder / "out" / "runs" / "moco-0"

    def interrupt():
        wait_for(run / "begun")
        stop.name = "SIGTERM"

    thread = threading.Thread(target=interrupt)
    thread.start()
    runs = run_campaign(folder, silent, stop=stop)
    thread.join()
    assert (run / "state").read_text() == "preempted\n"
    assert progress_of(runs[0]).state == "missing"
    assert calls(folder) == ["train moco-0"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's end")
def test_a_campaign_killed_with_9_lets_its_training_write_a_checkpoint_and_is_resumed(folder):
    change(folder, "photos", "slow")
    process = start(folder)
    run = folder / "out" / "runs" / "moco-0"
    wait_for(run / "begun")
    process.kill()
    process.join()
    wait_for(run / "state")
    assert (run / "state").read_text() == "preempted\n"
    (folder / "out" / "runs" / "paste-0").mkdir()
    (folder / "out" / "runs" / "paste-0" / "state").touch()  # so that it is not slow
    calls(folder)
    runs = run_campaign(folder, silent)
    assert [progress_of(run).state for run in runs] == ["done"] * 2
    assert calls(folder)[:2] == ["train moco-0", "knn moco-0"]


def test_no_program_runs_code_that_lies_in_the_folder_of_the_data(folder):
    (folder / "json.py").write_text("raise SystemExit('code of a data set')")
    runs = run_campaign(folder, silent)
    assert [progress_of(run).state for run in runs] == ["done"] * 2


def test_how_a_command_ended_is_left_for_people_and_scripts(folder):
    (run, *_) = run_campaign(folder, silent)
    outcome = json.loads((run.logs / "knn.json").read_text())
    assert outcome.pop("seconds") >= 0
    assert outcome.pop("ended").startswith("20")
    assert outcome == {
        "command": run.evaluations[0].line(),
        "options": {"command": "knn"},
        "status": 0,
        "steps": 4,
        "reason": "",
    }


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(DiloError, match=r"--out .* must be empty, or hold a campaign, got thesis"):
        require_own(tmp_path)
    require_own(tmp_path / "new")
