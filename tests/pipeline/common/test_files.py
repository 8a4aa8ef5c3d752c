"""Publishing: a reader sees a whole file or none."""

import os
import signal
import subprocess
import sys

import pytest

from dilo.pipeline.common import processes
from dilo.pipeline.common.files import atomic_write, remove_leftovers, temporary_name, write_text


def test_a_block_that_ends_publishes(tmp_path):
    with atomic_write(tmp_path / "x") as part:
        part.write_text("whole")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x").read_text() == "whole"
    assert os.listdir(tmp_path) == ["x"]


def write_half_and_stop(path):
    with atomic_write(path) as part:
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
from dilo.pipeline.common.files import atomic_write
with atomic_write(pathlib.Path(sys.argv[1]) / "x") as part:
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
    assert remove_leftovers(tmp_path) == 1
    assert os.listdir(tmp_path) == []
    process.wait()


def test_the_part_of_a_living_writer_is_not_swept(tmp_path):
    with atomic_write(tmp_path / "x") as part:
        part.write_text("whole")
        assert remove_leftovers(tmp_path) == 0
    assert (tmp_path / "x").exists()


def test_a_file_written_beside_is_another_each_time_and_swept_when_its_writer_is_dead(tmp_path):
    code = (
        "import sys, pathlib\n"
        "from dilo.pipeline.common.files import temporary_name\n"
        "temporary_name(pathlib.Path(sys.argv[1]) / 'x').touch()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    ours = temporary_name(tmp_path / "x")
    ours.touch()
    assert temporary_name(tmp_path / "x") != ours
    assert remove_leftovers(tmp_path) == 1
    assert os.listdir(tmp_path) == [ours.name]


@pytest.mark.parametrize("changed", ["_BOOT", "_NAMESPACE"])
def test_the_part_of_a_writer_in_another_container_of_this_host_name_is_not_swept(
    tmp_path, monkeypatch, changed
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("another")
    link = tmp_path / "ns"
    link.symlink_to("pid:[1]")
    with monkeypatch.context() as other:
        other.setattr(processes, changed, elsewhere if changed == "_BOOT" else str(link))
        other.setattr(os, "getpid", lambda: 2**22 + 1)  # a number that no process has here
        part = temporary_name(tmp_path / "x")
        part.touch()
        assert remove_leftovers(tmp_path) == 1  # there, it is dead
        part.touch()
    assert remove_leftovers(tmp_path) == 0
    os.utime(part, (0, 0))  # whoever wrote it, that was long ago
    assert remove_leftovers(tmp_path) == 1


def test_the_longest_name_that_a_file_may_have_is_published(tmp_path):
    for name in ("n" * 255, "ü" * 127):
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"
        temporary_name(tmp_path / name).touch()
        assert remove_leftovers(tmp_path) == 0  # it is this process's
    names = os.listdir(tmp_path)
    assert all(len(os.fsencode(name)) <= 255 for name in names)
    assert len(names) == 4
