"""Compiled code: kept on this machine, for this user alone, and loaded, not compiled again."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dilo.pipeline.common.compiled import find_cache
from dilo.pipeline.compute.worker import worker_environment

CODE = """
import sys
import numpy as np
from dilo.pipeline.common.compiled import announce_compiling
from dilo.pipeline.saliency.classical.unions import root_of
with announce_compiling(lambda line: sys.stderr.write(line + chr(10)), "compiling"):
    for array in (np.arange(8), np.arange(8, dtype=np.int32)):
        assert root_of(array, 3) == 3
stats = root_of.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), stats.cache_path)
"""


def process(**variables):
    """Use the smallest kernel, of two types, in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | variables
    command = [sys.executable, "-c", CODE]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def run(**variables):
    """Give the cache hits and misses of a process, where they lie, and what it said."""
    shown = process(**{name: str(value) for name, value in variables.items()})
    hits, misses, folder = shown.stdout.split(maxsplit=2)
    return int(hits), int(misses), folder.strip(), shown.stderr


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Give this process a folder for temporary files and a cache of its own, neither used yet."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_what_one_process_compiled_the_next_loads_and_the_compiler_is_said_where_it_runs(tmp_path):
    first, second = run(TMPDIR=tmp_path), run(TMPDIR=tmp_path)
    assert (first[:2], first[3]) == ((0, 2), "compiling\n")
    assert (second[:2], second[3]) == ((2, 0), "")
    assert Path(first[2]).is_relative_to(tmp_path)
    # Another processor; to numba, another version and another Python are no different.
    other = run(TMPDIR=tmp_path, NUMBA_CPU_NAME="generic")
    assert (other[:2], other[3]) == ((0, 2), "compiling\n")


def test_numba_s_own_variable_has_the_last_word(tmp_path):
    own = tmp_path / "own"
    _, _, folder, _ = run(TMPDIR=tmp_path / "no", NUMBA_CACHE_DIR=own)
    assert Path(folder).is_relative_to(own)
    assert not (tmp_path / "no").exists()


def test_a_variable_of_numba_s_that_cannot_be_obeyed_is_passed_over(places, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/proc/none")
    found = find_cache()
    assert found.folder.parent == places / "tmp"
    assert "/proc/none" in found.skipped[0]


def test_the_folder_is_made_for_this_user_alone(places):
    found = find_cache()
    assert found.folder.parent == places / "tmp"
    assert found.folder.stat().st_mode & 0o777 == 0o700
    assert find_cache() == found
    assert not found.skipped


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o755])
def test_a_folder_that_others_may_write_or_read_is_not_trusted(places, mode):
    find_cache().folder.chmod(mode)
    found = find_cache()
    assert found.folder.is_relative_to(places / "cache" / "dilo")
    assert found.folder.stat().st_mode & 0o777 == 0o700
    assert "is open to others" in found.skipped[0]


def test_a_folder_for_temporary_files_that_all_may_write_must_be_sticky(places):
    (places / "tmp").chmod(0o777)
    found = find_cache()
    assert found.folder.is_relative_to(places / "cache")
    assert "could be replaced" in found.skipped[0]
    (places / "tmp").chmod(0o1777)
    assert find_cache().folder.parent == places / "tmp"


@pytest.mark.parametrize("part", ["tmp", "tmp/dilo-{}"])
def test_a_folder_of_another_user_is_not_trusted(places, monkeypatch, part):
    find_cache()
    folder = places / part.format(os.getuid())
    own = Path.stat

    def anothers(path, **how):
        status = own(path, **how)
        if path != folder:
            return status
        return os.stat_result((*status[:4], 12345, *status[5:10]))

    monkeypatch.setattr(Path, "stat", anothers)
    monkeypatch.setattr(Path, "lstat", lambda path: path.stat(follow_symlinks=False))
    found = find_cache()
    assert found.folder.is_relative_to(places / "cache")
    assert "user 12345" in found.skipped[0]


def test_a_link_or_a_file_in_the_folder_s_place_is_not_followed(places):
    folder = find_cache().folder
    folder.rmdir()
    (places / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(places / "elsewhere")
    assert find_cache().folder.is_relative_to(places / "cache")
    folder.unlink()
    folder.touch()
    assert find_cache().folder.is_relative_to(places / "cache")


def test_the_current_folder_never_stands_in_for_the_one_for_temporary_files(places, monkeypatch):
    here = places / "dataset"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(here))  # as where Python finds no other
    found = find_cache()
    assert found.folder.is_relative_to(places / "cache")
    assert not list(here.iterdir())


def test_the_home_s_cache_has_a_folder_for_each_machine_and_its_use_is_said(tmp_path):
    (tmp_path / f"dilo-{os.getuid()}").touch()
    cache = tmp_path / "cache"
    _, _, folder, said = run(TMPDIR=tmp_path, XDG_CACHE_HOME=cache)
    assert Path(folder).is_relative_to(cache / "dilo" / f"compiled-{os.uname()[1]}")
    assert f"compiled code is cached in {cache}" in said
    assert "set NUMBA_CACHE_DIR" in said


def test_where_nothing_can_be_kept_each_process_compiles_and_says_once_what_to_do(tmp_path):
    (tmp_path / f"dilo-{os.getuid()}").touch()
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment |= {"TMPDIR": str(tmp_path), "XDG_CACHE_HOME": "/proc/none"}
    code = CODE.replace("print(", "assert stats.cache_path is None #")
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    line, more = shown.stderr.splitlines()
    assert line == "compiling"
    assert more.startswith("compiled code cannot be cached, so each process compiles again: ")
    assert more.endswith(
        "set NUMBA_CACHE_DIR to a folder that only you can write, on a disk of this machine"
    )


def test_a_worker_keeps_compiled_code_where_its_program_does():
    assert worker_environment()["NUMBA_CACHE_DIR"] == str(find_cache().folder)
