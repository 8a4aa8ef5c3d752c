"""Publishing: a reader sees a whole file or none."""

import os
import signal
import subprocess
import sys

import pytest

from dilo.pipeline.atomic import part_of, published, sweep, write_text


def test_a_block_that_ends_publishes(tmp_path):
    with published(tmp_path / "x") as part:
        part.write_text("whole")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x").read_text() == "whole"
    assert os.listdir(tmp_path) == ["x"]


def write_half_and_stop(path):
    with published(path) as part:
        part.write_text("half")
        raise RuntimeError


def test_a_block_that_raises_keeps_what_was_there(tmp_path):
    write_text(tmp_path / "x", "old")
    with pytest.raises(RuntimeError):
        write_half_and_stop(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


KILLED = """
import os, pathlib, signal, sys
from dilo.pipeline.atomic import published
with published(pathlib.Path(sys.argv[1]) / "x") as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("waited_for", [True, False])
def test_a_killed_writer_leaves_nothing_that_counts_and_is_swept(tmp_path, waited_for):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    # Without waiting, the dead process stays in the table as a zombie.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    if waited_for:
        assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "x").exists()
    assert len(os.listdir(tmp_path)) == 1
    assert sweep(tmp_path) == 1
    assert os.listdir(tmp_path) == []
    process.wait()


def test_the_part_of_a_living_writer_is_not_swept(tmp_path):
    with published(tmp_path / "x") as part:
        part.write_text("whole")
        assert sweep(tmp_path) == 0
    assert (tmp_path / "x").exists()


def test_a_file_written_beside_is_another_each_time_and_swept_when_its_writer_is_dead(tmp_path):
    code = (
        "import sys, pathlib\n"
        "from dilo.pipeline.atomic import part_of\n"
        "part_of(pathlib.Path(sys.argv[1]) / 'x').touch()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    ours = part_of(tmp_path / "x")
    ours.touch()
    assert part_of(tmp_path / "x") != ours
    assert sweep(tmp_path) == 1
    assert os.listdir(tmp_path) == [ours.name]
