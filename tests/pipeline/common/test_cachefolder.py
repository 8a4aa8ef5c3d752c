"""Where what can be made again is kept, and where not."""

import os

import pytest

from dilo.pipeline.common import compiled
from dilo.pipeline.common.cachefolder import cache_folder, home_cache


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)


def test_it_is_of_this_user_and_lies_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = cache_folder("images")
    assert folder == tmp_path / "cache" / "dilo" / "images"
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]


def test_a_relative_variable_is_ignored_by_all_that_use_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert cache_folder("images") == tmp_path / "home" / ".cache" / "dilo" / "images"
    assert compiled._home_folder().parent == home_cache() == tmp_path / "home" / ".cache" / "dilo"
    assert not (tmp_path / "cache").exists()


def test_without_a_cache_it_lies_among_temporary_files_as_compiled_code_does(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    folder = tmp_path / "temporary" / f"dilo-{os.getuid()}"
    assert cache_folder("images") == folder / "images"
    assert compiled._distrust_reason(folder) is None


def test_never_in_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder("images") is None
