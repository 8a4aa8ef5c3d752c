"""The commit of a checkout: its hash, whether files differ, and no guess elsewhere."""

import subprocess

import pytest

from dilo.train.monitor.run_info import git_commit


@pytest.fixture
def checkout(tmp_path):
    """Make a checkout of one file, with a tag that must not stand for the hash."""
    file = tmp_path / "package" / "code.py"
    file.parent.mkdir()
    file.write_text("one\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (
        ["init", "-q"],
        ["add", "."],
        [*who, "commit", "-qm", "first"],
        [*who, "tag", "-a", "v1", "-m", "v1"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    head = ["git", "-C", str(tmp_path), "rev-parse", "HEAD"]
    return file, subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()


def test_a_checkout_is_named_by_its_hash_and_whether_files_differ(checkout):
    file, head = checkout
    assert git_commit(file) == head
    file.write_text("two\n")
    assert git_commit(file) == f"{head}+changes"


def test_a_package_installed_into_some_checkout_has_no_commit(checkout):
    installed = checkout[0].with_name("installed.py")
    installed.write_text("")
    assert git_commit(installed) is None


def test_without_git_there_is_no_commit_and_no_error(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(checkout[0]) is None
