"""One training in a folder at a time: the living are respected, the dead are not."""

import json
import multiprocessing
import os
import signal
import time
from dataclasses import asdict, replace

import pytest
from support.launching import fork

from dilo.pipeline.errors import AccessError, DiloError
from dilo.train.engine import claim as module
from dilo.train.engine.claim import CLAIM, Claim, Claimant, claim_run
from dilo.train.runtime.signals import StopSignal

QUIET = StopSignal()


def silent(line):
    """Say nothing."""


def claim_of(folder, **changes):
    """Write the claim of another process."""
    other = replace(Claimant.here(), **changes)
    (folder / CLAIM).write_text(json.dumps(asdict(other)))
    return other


def test_a_second_training_is_refused_and_told_of_the_first_until_that_ends(tmp_path):
    with claim_run(tmp_path, silent, QUIET):
        words = rf"got process {os.getpid()} on .*, since 20\d\d-.*: wait until .* another --out"
        with pytest.raises(DiloError, match=words), claim_run(tmp_path, silent, QUIET):
            pass
    with claim_run(tmp_path, silent, QUIET):
        assert Claimant.of(tmp_path / CLAIM).pid == os.getpid()
    assert not (tmp_path / CLAIM).exists()


def test_a_claim_of_a_process_that_was_killed_is_taken_over_at_once(tmp_path):
    claimed = multiprocessing.get_context("fork").Event()

    def hold():
        with claim_run(tmp_path, silent, QUIET):
            claimed.set()
            time.sleep(60)

    process = fork(hold, tmp_path / "errors")
    assert claimed.wait(timeout=60)
    with pytest.raises(DiloError, match=f"got process {process.pid} on"):
        Claim(tmp_path).take(silent, QUIET)
    os.kill(process.pid, signal.SIGKILL)
    while Claimant.of(tmp_path / CLAIM).lives():  # not yet waited for, it is a zombie at the end
        time.sleep(0.01)
    with claim_run(tmp_path, silent, QUIET):
        pass
    process.join()


def test_a_number_that_was_given_again_is_no_life(tmp_path):
    claim_of(tmp_path, started="1")
    with claim_run(tmp_path, silent, QUIET):
        pass


def beat(path):
    os.utime(path)


def test_a_process_of_another_machine_that_gives_a_sign_of_life_is_respected(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POLL", 0.01)
    claim_of(tmp_path, machine="another", host="node7")
    os.utime(tmp_path / CLAIM, (time.time() - 20, time.time() - 20))
    said = []

    def say(line):
        said.append(line)
        beat(tmp_path / CLAIM)

    with pytest.raises(DiloError, match=r"got process \d+ on node7"):
        Claim(tmp_path).take(say, QUIET)
    assert "of another machine or container: waiting for a sign of life" in said[0]


def test_one_that_gives_none_for_minutes_is_taken_for_dead(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POLL", 0.01)
    monkeypatch.setattr(module, "PATIENCE", 20.3)
    claim_of(tmp_path, machine="another")
    os.utime(tmp_path / CLAIM, (time.time() - 20, time.time() - 20))
    with claim_run(tmp_path, silent, QUIET):
        assert Claimant.of(tmp_path / CLAIM).machine != "another"


def test_waiting_for_another_machine_ends_with_a_signal(tmp_path):
    claim_of(tmp_path, machine="another")
    with StopSignal() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(DiloError, match="stopped by SIGTERM: "):
            Claim(tmp_path).take(silent, interruption)


def test_signs_of_life_are_given(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT", 0.01)
    with claim_run(tmp_path, silent, QUIET):
        os.utime(tmp_path / CLAIM, (0, 0))
        deadline = time.monotonic() + 20
        while not (tmp_path / CLAIM).stat().st_mtime:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_training_that_was_taken_for_dead_and_is_not_ends_in_words(tmp_path):
    with claim_run(tmp_path, silent, QUIET) as held:
        held.require()
        other = claim_of(tmp_path, pid=4, token="other")
        with pytest.raises(DiloError, match=r"got process 4 on .*, beside this one, which was tak"):
            held.require()
    assert Claimant.of(tmp_path / CLAIM) == other


def test_a_claim_that_somebody_tidied_is_made_again(tmp_path):
    with claim_run(tmp_path, silent, QUIET) as held:
        (tmp_path / CLAIM).unlink()
        held.require()
        assert (tmp_path / CLAIM).exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "7"}', "[" * 100_000])
def test_a_file_that_says_nothing_of_use_is_taken_over_in_time(tmp_path, monkeypatch, text):
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    (tmp_path / CLAIM).write_text(text)
    with claim_run(tmp_path, silent, QUIET):
        pass


def test_of_two_that_take_over_one_dead_claim_one_wins(tmp_path):
    dead = claim_of(tmp_path, started="1")
    first, second = Claim(tmp_path), Claim(tmp_path)
    first.take(silent, QUIET)
    second._remove(dead)  # as if it had looked before the first wrote
    with pytest.raises(DiloError, match="one program at a time"):
        second.take(silent, QUIET)
    first.require()
    first.give_back()


def test_a_folder_that_was_new_and_stays_empty_is_removed(tmp_path):
    with claim_run(tmp_path / "runs" / "new", silent, QUIET):
        pass
    assert not (tmp_path / "runs" / "new").exists()
    assert not list((tmp_path / "runs").glob(".*"))


def test_a_folder_that_takes_no_file_is_said_with_its_remedy(tmp_path, monkeypatch):
    def refuse(path, text):
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr(module, "write_if_absent", refuse)
    with (
        pytest.raises(AccessError, match=r"Permission denied: .*ask its owner"),
        claim_run(tmp_path, silent, QUIET),
    ):
        pass
