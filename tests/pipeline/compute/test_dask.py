"""A Dask cluster: a scheduler and two workers, each a process, make the store that one makes."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support.cli import invoke
from support.photographs import photograph_folder
from support.plugins import install
from support.programs import content

from dilo.pipeline.cli import main
from dilo.pipeline.compute import clusters
from dilo.pipeline.compute.executors import run_shards
from dilo.pipeline.errors import DiloError

distributed = pytest.importorskip("distributed")

OPTIONS = ("--size", "32", "--shard-size", "1", "--method", "light")


class Cluster:
    """Processes of Dask, in a folder of their own."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes = []
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        wait_until(self.file.exists)
        self.address = json.loads(self.file.read_text())["address"]

    def add_worker(self, name):
        options = ("--name", name, "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1")
        return self._start("worker", *options, "--local-directory", str(self.folder))

    def _start(self, what, *options):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}"]
        command += ["--scheduler-file", str(self.file), "--no-dashboard", *options]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.processes.append(subprocess.Popen(command, cwd=self.folder, **quiet))
        return self.processes[-1]

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


def wait_until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """Install a method that has nothing to compile, here and in the processes of a cluster."""
    folder = tmp_path_factory.mktemp("plugins") / "installed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", install(folder)["PYTHONPATH"])
        patch.syspath_prepend(str(folder))
        patch.delitem(sys.modules, "faulty", raising=False)
        yield


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("dask"))
    for name in ("one", "two"):
        cluster.add_worker(name)
    yield cluster
    cluster.end()


@pytest.fixture
def watcher(cluster):
    with distributed.Client(cluster.address) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs, and in `alone` the store that one process makes."""
    folder = tmp_path_factory.mktemp("folder")
    images = photograph_folder(folder / "images", 12)
    arguments = ("--images", images, "--out", folder / "alone", *OPTIONS, "--workers", 1)
    invoke(main, "masks", *arguments)
    return folder


def start(folder, out, cluster):
    """Start the command in the folder, with names that only it understands."""
    command = [sys.executable, "-m", "dilo.pipeline", "masks", "--images", "images"]
    command += ["--out", out, *OPTIONS, "--backend", "dask", "--scheduler", cluster.address]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True)


def finish(process):
    result, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    return result


def test_both_workers_take_part_and_the_store_is_the_same(folder, cluster, watcher):
    begin = time.time()
    watcher.get_task_stream()  # from now on the scheduler keeps who did what
    said = finish(start(folder, "by-two", cluster))
    assert "12 of 12 images, 0 failed" in said
    assert content(folder / "by-two") == content(folder / "alone")
    names = {address: w["name"] for address, w in watcher.scheduler_info()["workers"].items()}
    stream = watcher.get_task_stream(start=begin)
    done = [names[task["worker"]] for task in stream]
    assert len(done) >= 12
    assert set(done) == {"one", "two"}


def test_what_a_killed_worker_was_doing_is_done_by_another(folder, cluster, watcher):
    victim = cluster.add_worker("victim")

    def address_of_victim():
        workers = watcher.scheduler_info()["workers"].items()
        return next((address for address, worker in workers if worker["name"] == "victim"), None)

    address = wait_until(address_of_victim)
    os.kill(victim.pid, signal.SIGSTOP)  # it takes tasks, and will never do them
    process = start(folder, "by-survivors", cluster)
    wait_until(lambda: watcher.processing().get(address))
    victim.kill()
    finish(process)
    assert content(folder / "by-survivors") == content(folder / "alone")


def test_a_scheduler_that_is_not_there_is_refused_in_a_sentence(folder, monkeypatch):
    impatient = functools.partial(distributed.Client, timeout=0.2)
    monkeypatch.setattr(distributed, "Client", lambda address, timeout: impatient(address))
    nobody = "tcp://127.0.0.1:1"
    arguments = ("--images", folder / "images", "--out", folder / "nothing", *OPTIONS)
    arguments += ("--backend", "dask", "--scheduler", nobody)
    refused = invoke(main, "masks", *arguments, status=3)
    assert f"Error: --scheduler {nobody}: cannot connect: " in refused.stderr


@pytest.fixture
def frail(tmp_path, monkeypatch):
    """Two workers of a scheduler that gives a task up after one death."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    cluster = Cluster(tmp_path)
    for name in ("one", "two"):
        cluster.add_worker(name)
    with distributed.Client(cluster.address) as client:
        client.wait_for_workers(2, timeout=60)
    yield cluster
    cluster.end()


def test_a_shard_that_kills_is_done_apart_and_a_lost_scheduler_is_an_error_in_words(frail):
    engine = functools.partial(run_shards, jobs=1, backend="dask", scheduler=frail.address)
    done = list(engine(signal.raise_signal, [0, signal.SIGKILL, 0], isolated=abs))
    assert done.count(9) == 1
    assert done.count(None) + done.count(0) == 2  # Dask may suspect a neighbour too
    naps = engine(time.sleep, [0, 60])
    assert next(naps) is None
    frail.processes[0].kill()
    with pytest.raises(DiloError, match=r"lost: finished work is kept; run the same command"):
        next(naps)


def test_workers_without_dilo_are_refused_in_a_sentence(cluster, watcher, monkeypatch):
    monkeypatch.setattr(clusters, "__name__", "dilo.of_a_later_version")
    with pytest.raises(DiloError, match="Dask's workers must have dilo, in this version, got No"):
        list(run_shards(abs, [0], jobs=1, backend="dask", scheduler=cluster.address))
