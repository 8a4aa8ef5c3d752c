"""A machine judged by facts: each check well, and each at fault."""

import platform
from pathlib import Path

import pytest
from support.disks import disk

from dilo.pipeline.doctor import shared_memory as shared_memory_of
from dilo.pipeline.doctor.machine import (
    compiled_code,
    cores,
    memory,
    memory_room,
    open_files,
    shared_memory,
    threads,
    write_error,
)

MEMINFO = "MemTotal:       32000000 kB\nMemFree:  9 kB\nMemAvailable:   16000000 kB\n"


def test_more_workers_than_cores_are_slow_and_the_number_to_give_is_said():
    assert cores(4, 64, 4).level == "ok"
    found = cores(4, 64, 64)
    assert (found.level, found.found) == ("slow", "this process may use 4 of 64; workers: 64")
    assert "--workers 4" in found.advice


def test_one_core_left_of_many_is_slow_but_not_on_a_machine_of_one():
    assert cores(1, 64, 1).level == "slow"
    assert cores(1, 1, 1).level == "ok"


def test_numbers_of_threads_do_no_harm_but_code_that_is_not_compiled_is_slow():
    assert threads({"OMP_NUM_THREADS": "1"}).found == "each worker uses one core"
    many = threads({"OMP_NUM_THREADS": "8", "MKL_NUM_THREADS": "4"})
    assert many.level == "ok"
    assert many.found.startswith("OMP_NUM_THREADS=8, MKL_NUM_THREADS=4: harmless")
    assert threads({"NUMBA_DISABLE_JIT": "0"}).level == "ok"
    assert threads({"NUMBA_DISABLE_JIT": "1"}).level == "slow"


def test_workers_that_do_not_fit_into_memory_break_and_the_number_that_fits_is_said():
    assert memory(1_000_000_000, 2).level == "ok"
    found = memory(1_700_000_000, 4)
    assert (found.level, found.found) == (
        "breaks",
        "1.7 GB available; 4 workers need 2.0 GB",
    )
    assert "--workers 3" in found.advice


def group(folder, limit, used, statistics, names):
    folder.mkdir(parents=True)
    for name, value in zip(names, (limit, used), strict=True):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(statistics)


V2 = ("memory.max", "memory.current")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def test_without_a_control_group_what_the_machine_has_counts(tmp_path):
    assert memory_room(MEMINFO, "", tmp_path) == 16_000_000 * 1024


def test_the_tightest_control_group_counts_and_its_cache_of_files_is_free(tmp_path):
    group(tmp_path / "job", 4_000, 3_000, "anon 5\ninactive_file 500\n", V2)
    group(tmp_path / "job/step", "max", 3_000, "", V2)
    assert memory_room(MEMINFO, "0::/job/step\n", tmp_path) == 1_500


def test_the_first_version_of_control_groups_is_read_too(tmp_path):
    group(tmp_path / "memory/slurm", 9_000, 2_000, "total_inactive_file 100\n", V1)
    membership = "9:cpu,cpuacct:/other\n4:memory:/slurm\n0::/\n"
    assert memory_room(MEMINFO, membership, tmp_path) == 7_100


def test_inside_a_container_the_root_is_the_group(tmp_path):
    group(tmp_path / "memory", 5_000, 1_000, "", V1)
    assert memory_room(MEMINFO, "4:memory:/docker/0123\n", tmp_path) == 4_000


@pytest.mark.parametrize(
    ("soft", "hard", "level", "advice"),
    [
        (1024, 1024, "ok", ""),
        (-1, -1, "ok", ""),
        (256, -1, "breaks", "ulimit -n 4096"),
        (256, 1024, "breaks", "ulimit -n 1024"),
        (256, 256, "breaks", "ask for a higher limit"),
    ],
)
def test_too_few_open_files_break_and_how_to_raise_them_is_said(soft, hard, level, advice):
    found = open_files(soft, hard)
    assert found.level == level
    assert advice in found.advice


def test_dockers_64_mb_of_shared_memory_break_and_the_option_is_said():
    assert shared_memory(8 << 30, 8 << 30).level == "ok"
    small = shared_memory(64 << 20, 64 << 20)
    assert (small.level, small.found) == ("breaks", "67 MB free of 67 MB")
    assert "--shm-size" in small.advice
    assert shared_memory(8 << 30, 1 << 20).level == "breaks"
    assert shared_memory(None).found == "none"


def test_shared_memory_with_room_that_cannot_be_written_breaks_and_what_does_without_is_said():
    found = shared_memory(8 << 30, 8 << 30, "Read-only file system")
    assert (found.level, found.found) == (
        "breaks",
        "a file cannot be written: Read-only file system",
    )
    assert "--backend threading to dilo-prep, --workers 0 to dilo-train" in found.advice


def test_the_doctor_writes_to_shared_memory_instead_of_measuring_room_alone(tmp_path):
    assert write_error(tmp_path) == ""
    assert not list(tmp_path.iterdir())
    assert write_error(tmp_path / "gone") == "No such file or directory"
    with disk(tmp_path / "shm", "ro,size=8m") as folder:
        assert write_error(folder) == "Read-only file system"
        found = shared_memory_of(folder)
        assert (found.level, found.found) == (
            "breaks",
            "a file cannot be written: Read-only file system",
        )


def test_compiled_code_is_kept_on_this_machines_own_disk(tmp_path):
    assert compiled_code(tmp_path, None, 10**9).level == "ok"
    assert compiled_code(None, None, 0).level == "slow"
    assert compiled_code(Path("/proc/none"), None, 10**9).level == "slow"
    assert compiled_code(tmp_path, None, 1000).level == "slow"
    own = tmp_path / platform.node()
    own.mkdir()
    found = compiled_code(own, "nfs4", 10**9, ("/tmp/dilo-1 belongs to user 2, not to you",))
    assert (found.level, found.found) == (
        "ok",
        f"{own} (/tmp/dilo-1 belongs to user 2, not to you)",
    )
    shared = compiled_code(tmp_path, "nfs4", 10**9)
    assert shared.level == "breaks"
    assert shared.found.endswith(", on nfs4")
