"""Programs whose words nobody can hear: they work all the same."""

import subprocess

import pytest
from support.programs import command, content, masks


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_run_without_a_place_for_its_words_is_a_run(photographs, undisturbed, tmp_path, closed):
    words = command(*masks(photographs, tmp_path / "store"))
    subprocess.run(["bash", "-c", f'exec "$@" {closed}', "bash", *words], check=True, timeout=120)
    assert content(tmp_path / "store") == undisturbed


def test_threads_make_the_same_store(photographs, undisturbed, tmp_path):
    words = command(*masks(photographs, tmp_path / "store", "--backend", "threading"))
    subprocess.run(words, check=True, timeout=120)
    assert content(tmp_path / "store") == undisturbed
