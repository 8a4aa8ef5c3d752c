"""kill -9 at random moments, of whom you like: the same command ends as an undisturbed one."""

import contextlib
import random
import subprocess
import time

import pytest
from support.programs import ROUNDS, content, end, finished, kill_group, masks, start, workers

#: Seconds within which a run of the photographs below is over.
SPAN = 2.0


def wait(process, seconds):
    """Let a program run for a while, or to its end."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_run_killed_again_and_again_ends_as_an_undisturbed_one(
    photographs, undisturbed, tmp_path, seed
):
    rng, store = random.Random(seed), tmp_path / "store"
    for whom in ("group", "parent", "group"):
        process = start(*masks(photographs, store))
        wait(process, rng.uniform(0.3, SPAN))
        if whom == "group":
            kill_group(process)
        else:
            process.kill()  # its workers live on, and end by themselves
            process.communicate()
        # What is there under its final name is whole: nothing half-written is taken for done.
        if store.exists():
            there = content(store)
            assert all(there[name] == undisturbed[name] for name in there if name[0] != ".")
    finished(*masks(photographs, store))
    assert content(store) == undisturbed  # left-overs are swept, too


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_run_whose_workers_are_killed_does_not_even_stop(
    photographs, undisturbed, tmp_path, seed
):
    rng, store = random.Random(seed), tmp_path / "store"
    process = start(*masks(photographs, store))
    while process.poll() is None and not workers(process):
        time.sleep(0.02)
    killed = 0
    for _ in range(3):
        wait(process, rng.uniform(0.2, SPAN / 3))
        if victims := workers(process):
            rng.choice(victims).kill()
            killed += 1
    end(process)
    assert killed
    assert content(store) == undisturbed


@pytest.mark.parametrize("later", [0.0, 0.4, 0.8])
def test_workers_of_a_killed_program_do_not_live_on(photographs, tmp_path, later):
    process = start(*masks(photographs, tmp_path / "store"), "--method", "slow")
    while not (left := workers(process)):
        time.sleep(0.02)
    time.sleep(later)  # at first they wait for work, and nobody will send any
    process.kill()
    process.communicate()
    for worker in left:
        worker.wait(timeout=20)
