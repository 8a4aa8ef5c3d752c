"""Programs whose words nobody can hear: they work all the same."""

import os
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


def test_a_result_that_cannot_be_written_is_an_error(photographs, tmp_path):
    words = command(*masks(photographs, tmp_path / "store", "--plan-only"))
    full = ["bash", "-c", 'exec "$@" >/dev/full', "bash", *words]
    ended = subprocess.run(full, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert ended.returncode == 3
    assert "Error: standard output: No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_wrong_command_line_whose_error_cannot_be_written_exits_with_2():
    ended = subprocess.run(
        ["bash", "-c", 'exec "$@" 2>/dev/full', "bash", *command("nonsense")], check=False
    )
    assert ended.returncode == 2


def test_a_name_that_the_output_cannot_encode_is_escaped(tmp_path):
    words = command("doctor", tmp_path / "猫")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    shown = subprocess.run(words, stdout=subprocess.PIPE, env=environment, check=False)
    assert b"\\u732b: " in shown.stdout
