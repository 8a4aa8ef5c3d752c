"""Two processes: what they tell each other, and that together they are one."""

import json
import os
import signal
import time

import pytest
import torch
from support import together
from support.launching import join, start_ranks
from support.runs import METHODS_SMALL as METHODS
from support.runs import SMALL, interrupted, photographs_and_masks, undisturbed

from dilo.train.cli import main
from dilo.train.engine import checkpoint
from dilo.train.runtime.launch import end_together

methods = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As the ranks compute; and more would wait for each other on networks so small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photographs_and_masks(tmp_path_factory.mktemp("data"))


def wait_for(run, lines, processes):
    """Wait until so many steps are recorded."""
    metrics, deadline = run / "metrics.jsonl", time.monotonic() + 120
    while not metrics.exists() or metrics.read_text().count("\n") < lines:
        assert time.monotonic() < deadline
        assert all(process.is_alive() for process in processes), "ended too early"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def killed(made, module_folder):
    """Train on two ranks until a signal to one of them, and resume until both are killed."""
    run = module_folder / "killed"
    arguments = ["--images", made[0], "--masks", made[1], "--out", run]
    arguments += ["--recipe", "moco-v2-small", "--workers", 1, "--log-every", 1]
    for override in (*SMALL, "model.stem=small"):
        arguments += ["--set", override]

    def train():
        with end_together():
            main([*map(str, arguments)])

    processes = start_ranks(train, module_folder)
    wait_for(run, 1, processes)
    # To the whole session, workers too, as a batch system does.
    os.killpg(processes[1].pid, signal.SIGUSR1)
    join(processes, status=75)
    assert (run / "state").read_text() == "preempted\n"
    stopped = checkpoint.list_checkpoints(run)[0][0]
    assert 0 < stopped < 6
    processes = start_ranks(train, module_folder)
    wait_for(run, stopped + 1, processes)
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
    join(processes, status=-signal.SIGKILL)
    return run


@pytest.fixture(scope="module")
def found(made, killed, module_folder):
    join(start_ranks(lambda: together.work(*made, killed, module_folder), module_folder))
    return [json.loads((module_folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


def test_each_rank_hears_the_others(found):
    for rank in (0, 1):
        talk = found[rank]["talk"]
        assert talk["size"] == 2
        assert talk["gather"] == [[1, 2], [2, 2]]
        assert talk["images"] == [0, 1]
        assert talk["channels_last"]
        assert talk["share"] == [[0, 1], [2, 3]][rank]
        assert talk["mean"] == 0.5
        assert talk["any"] == [False, True, True]
        assert talk["decide"] == "said by 0"
        assert talk["refused"] == "as rank 0 found"
        # Both ranks' losses reach a row, by their weights of 1 and 2.
        assert talk["gathered_gradient"] == [[[3, 30]], [[300, 3000]]][rank]


@methods
def test_two_ranks_go_on_to_the_last_bit(found, method):
    """The ranks hold the same networks and memory, or their checkpoint would not serve both."""
    for rank in found:
        assert rank[method]["interrupted"] == rank[method]["undisturbed"]


def test_two_ranks_find_objects_alike_and_go_on_to_the_last_bit(found):
    one, other = (rank["saliency"] for rank in found)
    assert one == other
    assert one["stopped"] == one["undisturbed"]
    assert one["undisturbed"]["step"] == 6


@methods
def test_two_ranks_learn_what_one_does_and_one_goes_on_too(found, made, method, tmp_path):
    """In the same order, from the same draws; but for the order in which numbers are added."""
    alone = undisturbed(method, *made, tmp_path / "undisturbed")
    shared = found[0][method]["undisturbed"]["losses"]
    # The second loss has seen a step; later ones make ever more of the rounding.
    assert shared[:2] == pytest.approx(alone["losses"][:2], rel=2e-2)
    assert interrupted(method, *made, tmp_path / "interrupted") == alone


def test_ranks_stop_at_a_signal_to_one_of_them_and_go_on_after_kill_9(found):
    for rank in found:
        assert rank["killed"] == rank["moco"]["undisturbed"]["losses"]
