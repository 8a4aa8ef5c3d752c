"""Trials leave nothing behind, and tell what a file system refuses."""

import errno
import os
import subprocess

import pytest

from dilo.pipeline.doctor import writing
from dilo.pipeline.doctor.writing import run_trials


def levels(findings):
    return {finding.check: finding.level for finding in findings}


def test_a_sound_disk_passes_every_trial_and_keeps_nothing(tmp_path):
    found = levels(run_trials(tmp_path))
    assert len(found) == 4
    assert "breaks" not in found.values()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_the_trials_is_removed_when_one_fails(tmp_path, monkeypatch):
    def refused(folder):
        assert folder.parent == tmp_path
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(writing, "renaming", refused)
    (found,) = [f for f in run_trials(tmp_path) if f.level == "breaks"]
    assert (found.check, found.found) == ("renaming", "Invalid argument")
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_made_one_finding_says_so(tmp_path):
    (found,) = run_trials(tmp_path / "missing")
    assert (found.level, found.found) == ("breaks", "No such file or directory")


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 1 MB, where that is permitted."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path]
    try:
        done = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("this user may not mount")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_is_found_by_writing_alone(small_disk):
    (small_disk / "full").write_bytes(bytes(1 << 20))
    (found,) = run_trials(small_disk)
    assert (found.check, found.found) == ("writing", "No space left on device")
    assert os.listdir(small_disk) == ["full"]


def test_a_disk_that_fills_during_a_trial_is_found(small_disk):
    found = levels(run_trials(small_disk))
    assert found["writing"] == "ok"
    assert found["write speed"] == "breaks"
    assert os.listdir(small_disk) == []
