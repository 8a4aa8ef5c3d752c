"""Compiled code: kept on this machine, for this user alone, and loaded, not compiled again."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dilo.pipeline.saliency.compiled import cache_folder, compiled, nothing_compiled

CODE = """
import numpy as np
from dilo.pipeline.saliency.connectivity import _root
assert _root(np.arange(8), 3) == 3
stats = _root.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), stats.cache_path)
"""


def run(**variables):
    """Use the smallest kernel in a process of its own; give its cache hits, misses and where."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | variables
    command = [sys.executable, "-c", CODE]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    hits, misses, folder = shown.stdout.split()
    return int(hits), int(misses), folder


def test_a_second_process_loads_what_the_first_compiled(tmp_path):
    first = run(TMPDIR=str(tmp_path))
    second = run(TMPDIR=str(tmp_path))
    assert first[:2] == (0, 1)
    assert second[:2] == (1, 0)
    assert Path(first[2]).is_relative_to(tmp_path)


def test_what_is_compiled_is_known_by_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr("dilo.pipeline.saliency.compiled._CACHE", tmp_path)

    def twice(number):
        return 2 * number

    assert nothing_compiled()
    compiled(twice)(3)
    assert not nothing_compiled()
    assert not nothing_compiled("test_compiled")
    assert nothing_compiled("slic")


def test_numba_s_own_variable_has_the_last_word(tmp_path):
    own = tmp_path / "own"
    _, _, folder = run(TMPDIR=str(tmp_path / "no"), NUMBA_CACHE_DIR=str(own))
    assert Path(folder).is_relative_to(own)
    assert not (tmp_path / "no").exists()


def test_the_folder_is_made_for_this_user_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = cache_folder()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert cache_folder() == folder


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o755])
def test_a_folder_that_others_may_write_or_read_is_not_trusted(tmp_path, monkeypatch, mode):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cache_folder().chmod(mode)
    assert cache_folder() is None


def test_a_link_or_a_file_in_the_folder_s_place_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = cache_folder()
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    assert cache_folder() is None
    folder.unlink()
    folder.touch()
    assert cache_folder() is None


def test_where_nothing_can_be_kept_each_process_compiles(tmp_path):
    (tmp_path / f"dilo-{os.getuid()}").touch()
    code = "import numpy as np\nfrom dilo.pipeline.saliency.connectivity import _root\n"
    code += "assert _root(np.arange(8), 3) == 3\n"
    variables = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    subprocess.run(
        [sys.executable, "-c", code], env=variables | {"TMPDIR": str(tmp_path)}, check=True
    )
