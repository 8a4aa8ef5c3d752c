"""Locks: taken, refused, or never answered."""

import fcntl

from dilo.pipeline.doctor.writing import lock_fault, locks


def test_a_file_that_can_be_locked_has_no_fault(tmp_path):
    assert lock_fault(tmp_path / "lock", patience=30) is None


def test_a_refusal_is_named(tmp_path):
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert lock_fault(tmp_path / "lock", patience=30) in ("EAGAIN", "EWOULDBLOCK")


def test_a_lock_service_that_never_answers_does_not_hang_the_doctor(tmp_path):
    fault = lock_fault(tmp_path / "lock", "import time; time.sleep(60)", patience=0.1)
    assert fault == "no answer in 0.1 s"


def test_no_locks_are_well_and_other_programs_are_thought_of():
    assert locks(None).level == "ok"
    without = locks("ENOLCK")
    assert (without.level, without.found) == ("ok", "none (ENOLCK), and not needed")
    assert "HDF5_USE_FILE_LOCKING=FALSE" in without.advice
