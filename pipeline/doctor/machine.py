"""Checks of a machine: cores, threads, memory, open files, shared memory, compiled code."""

import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dilo.pipeline.common.disk import gigabytes
from dilo.pipeline.doctor.report import Finding

#: Memory that a worker may need: 0.22 GB were measured, and a large image comes on top.
_WORKER_BYTES = 500_000_000
#: Open files that a process needs: a store's shards, and a loader's batches beside them.
_OPEN_FILES = 512
#: Shared memory that a trainer's loaders fill: two workers, two batches of 256 each.
_SHARED_BYTES = 400_000_000

_THREADS = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "NUMBA")
# cgroup v1 keeps each resource in a tree of its own; v2 has one. Where, limit, use, statistics.
_CGROUPS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def cores(usable: int, present: int, workers: int) -> Finding:
    """Compare the workers with the cores that this process may use."""
    state = f"this process may use {usable} of {present}; workers: {workers}"
    if workers > usable:
        advice = (
            f"more workers than cores are no faster: give --workers {usable}, or get more cores"
        )
        return Finding("cores", "slow", state, advice)
    if usable == 1 < present:
        advice = "ask for more: --cpus-per-task of Slurm, --cpus of Docker, taskset"
        return Finding("cores", "slow", state, advice)
    return Finding("cores", "ok", state)


def threads(environment: Mapping[str, str]) -> Finding:
    """Read the variables that set how many threads a library starts."""
    if environment.get("NUMBA_DISABLE_JIT", "0") != "0":
        value = environment["NUMBA_DISABLE_JIT"]
        advice = "nothing would be compiled, and masks take 100 times as long: unset it"
        return Finding("threads", "slow", f"NUMBA_DISABLE_JIT={value}", advice)
    names = [f"{library}_NUM_THREADS" for library in _THREADS]
    settings = [f"{n}={environment[n]}" for n in names if environment.get(n, "1") != "1"]
    if settings:
        state = f"{', '.join(settings)}: harmless, each worker uses one core"
        return Finding("threads", "ok", state)
    return Finding("threads", "ok", "each worker uses one core")


def memory(available: int, workers: int) -> Finding:
    """Compare free memory with what the workers need."""
    needed = workers * _WORKER_BYTES
    state = f"{gigabytes(available)} available; {workers} workers need {gigabytes(needed)}"
    if needed <= available:
        return Finding("memory", "ok", state)
    affordable = available // _WORKER_BYTES
    advice = f"workers would be killed: give --workers {max(1, affordable)}, or get more memory"
    return Finding("memory", "breaks", state, advice)


def memory_room(
    meminfo: str,
    membership: str,
    root: Path = Path("/sys/fs/cgroup"),
) -> int:
    """Compute how many bytes this process and its workers may still take.

    The least of what the machine has and what each control group above this process leaves; its
    cache of files, which goes when memory is needed, counts as free.
    """
    kilobytes = {line.split(":")[0]: line.split()[1] for line in meminfo.splitlines() if line}
    available = [int(kilobytes["MemAvailable"]) * 1024]
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        # Inside a container the group's own path may not exist: its root is the group.
        for folder in (Path(path.lstrip("/")), *Path(path.lstrip("/")).parents):
            for tree, limit, used, cache in _CGROUPS:
                try:
                    group = root / tree / folder
                    maximum = int((group / limit).read_text())  # "max" is no number: no limit
                    statistics = dict(w.split() for w in _lines(group / "memory.stat"))
                    in_use = int((group / used).read_text()) - int(statistics.get(cache, 0))
                except (OSError, ValueError):
                    continue
                available.append(max(0, maximum - in_use))
    return min(available)


def _lines(path: Path) -> list[str]:
    """Read the lines of a small file."""
    return path.read_text().splitlines()


def open_files(soft: int, hard: int) -> Finding:
    """Judge how many files a process may hold open."""
    if soft < 0:
        return Finding("open files", "ok", "no limit")
    if soft >= _OPEN_FILES:
        return Finding("open files", "ok", f"{soft} per process")
    new_limit = 4096 if hard < 0 else min(4096, hard)
    advice = (
        f"{_OPEN_FILES} are needed to read a store while training: ulimit -n {new_limit}"
        if new_limit >= _OPEN_FILES
        else f"{_OPEN_FILES} are needed to read a store while training: ask for a higher limit"
    )
    return Finding("open files", "breaks", f"{soft} per process", advice)


def shared_memory(
    size: int | None, free: int = 0, error: str = "", needed: int | None = None
) -> Finding:
    """Judge /dev/shm, through which processes share locks, and a trainer's loaders batches."""
    remedy = "docker run --shm-size=8g or --ipc=host; Kubernetes: emptyDir, medium: Memory"
    if size is None:
        advice = f"workers cannot start: mount a tmpfs there ({remedy})"
        return Finding("/dev/shm", "breaks", "none", advice)
    state = f"{gigabytes(free)} free of {gigabytes(size)}"
    if error:
        advice = (
            f"no worker can start: give --backend threading to dilo-prep, --workers 0 to "
            f"dilo-train and dilo-eval, or mount a tmpfs that this user may write ({remedy})"
        )
        return Finding("/dev/shm", "breaks", f"a file cannot be written: {error}", advice)
    if needed is not None:
        state += f"; the batches of this training take {gigabytes(needed)}"
    if free >= (_SHARED_BYTES if needed is None else needed):
        return Finding("/dev/shm", "ok", state)
    advice = f"masks work without it, dilo-train's loaders crash (Bus error): {remedy}"
    return Finding("/dev/shm", "breaks", state, advice)


def write_error(folder: Path) -> str:
    """Write a small file and remove it: room alone does not tell whether one may.

    Returns the error; an empty string where there is none.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".dilo-doctor-") as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def compiled_code(
    folder: Path | None, network: str | None, free: int, skipped: tuple[str, ...] = ()
) -> Finding:
    """Judge where compiled code is kept from one process to the next."""
    reasons = f" ({'; '.join(skipped)})" if skipped else ""
    if folder is None or not os.access(folder, os.W_OK):
        state = f"nowhere{reasons}" if folder is None else f"{folder} cannot be written"
        advice = (
            "each process would compile for 15 s: set TMPDIR, or NUMBA_CACHE_DIR, to a local "
            "folder that only you can write"
        )
        return Finding("compiled code", "slow", state, advice)
    is_own = any(part in (node := platform.node(), f"compiled-{node}") for part in folder.parts)
    if network and not is_own:
        advice = "machines that share it break each other's files: set TMPDIR to a local disk"
        return Finding("compiled code", "breaks", f"{folder}, on {network}", advice)
    if free < 50_000_000:
        advice = "each process would compile for 15 s: free some, or set TMPDIR"
        return Finding("compiled code", "slow", f"{folder}: {gigabytes(free)} free", advice)
    return Finding("compiled code", "ok", f"{folder}{reasons}")
