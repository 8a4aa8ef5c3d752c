"""kill -9 at random moments, of whom you like: the same command ends as an undisturbed one."""

import random
import time

import pytest
from support.photographs import photograph_folder
from support.programs import ROUNDS, content, end, kill_group, run, start, workers

#: Seconds within which a run of the photographs below is over.
SPAN = 4.0


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return photograph_folder(tmp_path_factory.mktemp("images"), 60)


@pytest.fixture(scope="module")
def undisturbed(photographs, tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    run(*arguments(photographs, store))
    return content(store)


def arguments(images, store):
    words = ("masks", "--images", images, "--out", store)
    return (*words, "--size", 24, "--shard-size", 3, "--jobs", 2)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_run_killed_again_and_again_ends_as_an_undisturbed_one(
    photographs, undisturbed, tmp_path, seed
):
    rng, store = random.Random(seed), tmp_path / "store"
    for whom in ("group", "parent", "group"):
        process = start(*arguments(photographs, store))
        time.sleep(rng.uniform(0.3, SPAN))
        if whom == "group":
            kill_group(process)
        else:
            process.kill()  # its workers live on, and end by themselves
            process.communicate()
        # What is there under its final name is whole: nothing half-written is taken for done.
        if store.exists():
            there = content(store)
            assert all(there[name] == undisturbed[name] for name in there if name[0] != ".")
    run(*arguments(photographs, store))
    assert content(store) == undisturbed  # left-overs are swept, too


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_run_whose_workers_are_killed_does_not_even_stop(
    photographs, undisturbed, tmp_path, seed
):
    rng, store = random.Random(seed), tmp_path / "store"
    process = start(*arguments(photographs, store))
    killed = 0
    for _ in range(3):
        time.sleep(rng.uniform(0.2, SPAN / 3))
        if victims := workers(process):
            rng.choice(victims).kill()
            killed += 1
    end(process)
    assert killed
    assert content(store) == undisturbed


def test_workers_of_a_killed_program_do_not_live_on(photographs, tmp_path):
    process = start(*arguments(photographs, tmp_path / "store"), "--method", "consensus")
    while not (left := workers(process)):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    for worker in left:
        worker.wait(timeout=60)
