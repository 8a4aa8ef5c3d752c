"""GPUs: counted, and one claimed by each process for as long as it lives."""

import subprocess
import sys

import pytest

from dilo.pipeline.errors import DiloError
from dilo.pipeline.masks import gpus
from dilo.train.runtime import devices

#: Claims one of some GPUs, says which, and holds it until its input ends.
CLAIM = """
import sys, tempfile
from dilo.pipeline.masks import gpus
tempfile.tempdir = sys.argv[1]
gpus._COUNT = lambda: int(sys.argv[2])
gpus._NAME = lambda index: f"gpu-{index}"
assert gpus.own_device("cuda") == gpus.own_device("cuda")
print(gpus.own_device("cuda"), flush=True)
sys.stdin.read()
"""


class Claimant:
    """A process with a GPU."""

    def __init__(self, folder, count):
        command = [sys.executable, "-c", CLAIM, str(folder), str(count)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.device = self.process.stdout.readline().strip()

    def end(self):
        self.process.communicate()


def fake(monkeypatch, count):
    monkeypatch.setattr(gpus, "_COUNT", count)
    gpus._claim_gpu.cache_clear()


def test_each_process_claims_a_gpu_of_its_own_until_it_ends(tmp_path):
    claimants = [Claimant(tmp_path, 3) for _ in range(3)]
    try:
        assert sorted(one.device for one in claimants) == ["cuda:0", "cuda:1", "cuda:2"]
        freed = claimants.pop(1)
        freed.end()
        claimants.append(Claimant(tmp_path, 3))
        assert claimants[-1].device == freed.device
        crowded = Claimant(tmp_path, 3)
        claimants.append(crowded)
        assert crowded.device == f"cuda:{crowded.process.pid % 3}"
    finally:
        for one in claimants:
            one.end()


def test_the_gpu_of_a_killed_process_is_free(tmp_path):
    first = Claimant(tmp_path, 2)
    first.process.kill()
    first.end()
    second = Claimant(tmp_path, 2)
    second.end()
    assert first.device == second.device == "cuda:0"


def test_a_cpu_is_nobody_s_own(monkeypatch):
    fake(monkeypatch, lambda: pytest.fail("asked for GPUs"))
    assert gpus.own_device("cpu") == "cpu"


def test_no_gpu_is_said_in_words_and_without_torch_there_is_none(monkeypatch):
    def lacking():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    for count in (lambda: 0, lacking):
        fake(monkeypatch, count)
        assert gpus.gpus() == 0
        with pytest.raises(DiloError, match="--device cuda needs a GPU that torch can use, got no"):
            gpus.own_device("cuda")


def test_a_lock_that_cannot_be_had_leaves_the_gpus_to_the_number_of_the_process(
    tmp_path, monkeypatch
):
    fake(monkeypatch, lambda: 4)
    monkeypatch.setattr(gpus, "_NAME", lambda index: f"no-folder/{index}")
    monkeypatch.setattr(gpus.os, "getpid", lambda: 4003)
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    assert gpus.own_device("cuda") == "cuda:3"
    gpus._claim_gpu.cache_clear()


def test_a_link_or_a_pipe_that_lies_in_the_place_of_a_lock_is_none(tmp_path, monkeypatch):
    fake(monkeypatch, lambda: 3)
    monkeypatch.setattr(gpus, "_NAME", str)
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "dilo-0.lock").symlink_to(tmp_path / "anything")
    gpus.os.mkfifo(tmp_path / "dilo-1.lock")
    assert gpus.own_device("cuda") == "cuda:2"
    assert not (tmp_path / "anything").exists()
    gpus._claim_gpu.cache_clear()


def test_a_gpu_that_torch_cannot_use_is_no_reason_to_compute_on_the_cpu(monkeypatch):
    fake(monkeypatch, lambda: 0)
    assert gpus.automatic_device() == "cpu"
    monkeypatch.setattr(devices, "probe_cuda", lambda: (False, "NVIDIA driver 550.54"))
    for choose in (gpus.automatic_device, lambda: gpus.own_device("cuda")):
        with pytest.raises(DiloError, match="needs a GPU that torch can use, got NVIDIA driver"):
            choose()
    fake(monkeypatch, lambda: 1)
    assert gpus.automatic_device() == "cuda"
