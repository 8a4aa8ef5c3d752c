"""SIGTERM, Ctrl-C and a closed terminal: a stop within seconds, and a word on what is done."""

import os
import re
import signal
import subprocess
import time

import pytest
from support.photographs import photograph_folder
from support.programs import command, content, end, finished, start, workers


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return photograph_folder(tmp_path_factory.mktemp("images"), 40)


def arguments(images, store):
    words = ("masks", "--images", images, "--out", store, "--method", "slow")
    return (*words, "--size", 16, "--shard-size", 2, "--workers", 2)


@pytest.mark.parametrize(
    ("number", "send"),
    [
        (signal.SIGINT, os.killpg),
        (signal.SIGTERM, os.kill),
        (signal.SIGTERM, os.killpg),
        (signal.SIGHUP, os.killpg),
    ],
    ids=["ctrl-c", "term", "term-to-all", "terminal-closed"],
)
def test_a_signal_stops_the_run_and_the_next_goes_on(photographs, tmp_path, number, send):
    store = tmp_path / "store"
    process = start(*arguments(photographs, store))
    while len(list(store.glob("shard-*.h5"))) < 2:
        time.sleep(0.02)
    left = workers(process)
    send(process.pid, number)
    said = end(process, status=3, timeout=20)
    found = re.search(r"interrupted; (\d+) of 40 images are done and kept: the same comm", said)
    assert found, said
    assert 4 <= int(found[1]) < 40
    for worker in left:
        worker.wait(timeout=10)
    assert not [name for name in content(store) if name.startswith(".")]
    assert "to do: 40 images" not in finished(*arguments(photographs, store))
    assert len(list(store.glob("shard-*.h5"))) == 20


def test_a_signal_before_any_worker_is_a_stop_as_well(photographs, tmp_path):
    store = tmp_path / "store"
    process = start(*arguments(photographs, store))
    while not (store / "plan.json").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[1]
    assert "Error: interrupted; " in said
    assert "Traceback" not in said
    # Python ends itself by the signal if that came while it made a class of a module.
    assert process.returncode in (3, -signal.SIGINT)


def test_threads_stop_when_their_shards_are_done(photographs, tmp_path):
    store = tmp_path / "store"
    words = (*arguments(photographs, store), "--backend", "threading")
    process = start(*words)
    while len(list(store.glob("shard-*.h5"))) < 2:
        time.sleep(0.02)
    time.sleep(0.1)  # half of a shard: both threads may have ended their first at the same moment
    process.send_signal(signal.SIGTERM)
    assert "interrupted; " in end(process, status=3, timeout=20)
    # What both threads had under way is finished, unless one was between two shards.
    assert 3 <= len(list(store.glob("shard-*.h5"))) < 20
    finished("status", store)


def test_what_nohup_ignores_stays_ignored(photographs, tmp_path):
    words = command(*arguments(photographs, tmp_path / "store"))
    process = subprocess.Popen(["nohup", *words], stdout=subprocess.PIPE, text=True)
    while not list((tmp_path / "store").glob("shard-*.h5")):
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    assert "40 of 40 images" in process.communicate(timeout=60)[0]
    assert process.returncode == 0
