"""What will break or slow a run on this machine, with masks in this folder."""

import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dilo.pipeline.common.disk import free_space, nearest_existing
from dilo.pipeline.doctor import disk, machine, packages, speed, writing
from dilo.pipeline.doctor.report import Diagnosis, Finding

#: A check's name, and what makes its findings.
Check = tuple[str, Callable[[], list[Finding]]]


def examine(directory: Path, jobs: int = -1) -> Diagnosis:
    """Check a folder and this machine, in a few seconds."""
    checks = (*_of_folder(directory), *_of_machine(jobs), *_of_packages())
    return Diagnosis(directory, run_checks(checks))


def run_checks(checks: Iterable[Check]) -> list[Finding]:
    """Run checks one after the other."""
    findings: list[Finding] = []
    for name, check in checks:
        try:
            findings += check()
        # What a check stumbles over is news, and no reason to keep the rest from the user.
        except (ImportError, OSError, ValueError) as error:
            findings.append(Finding(name, "ok", f"cannot be checked here: {error}"))
    return findings


def _of_folder(directory: Path) -> Iterator[Check]:
    """List the checks of a folder and its disk; the later ones only where there is a folder."""
    existing = nearest_existing(directory)
    writable = os.access(existing, os.W_OK | os.X_OK)
    yield "folder", lambda: [disk.folder(directory, existing, writable, _mount(existing))]
    yield "file system", lambda: [disk.file_system(_mount(existing))]
    if existing.is_dir():
        yield "free space", lambda: [disk.space(*free_space(existing))]
        if writable:
            yield "writing", lambda: writing.run_trials(existing)
        yield "read speed", lambda: [_reading(existing)]


def _of_machine(jobs: int) -> Iterator[Check]:
    """List the checks of this machine, for so many workers."""
    yield "cores", lambda: [_cores(jobs)]
    yield "threads", lambda: [machine.threads(os.environ)]
    yield "memory", lambda: [_memory(jobs)]
    yield "open files", lambda: [machine.open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))]
    if sys.platform == "linux":
        yield "/dev/shm", lambda: [shared_memory()]
    yield "temporary", lambda: [_temporary()]
    yield "compiled code", lambda: [_compiled_code()]


def _of_packages() -> Iterator[Check]:
    """List the checks of what is installed."""
    yield "packages", lambda: packages.packages(packages.requirements())


def _mount(path: Path) -> disk.Mount | None:
    """Find the file system of a place, where the system tells."""
    mounts = Path("/proc/mounts")
    return disk.mount_of(path, os.fsdecode(mounts.read_bytes())) if mounts.exists() else None


def _reading(folder: Path) -> Finding:
    """Time a few images, if there are any."""
    from dilo.pipeline.images.listing import EXTENSIONS

    return speed.read_speed(*speed.time_reading(speed.sample_images(folder, EXTENSIONS)))


def _cores(jobs: int) -> Finding:
    """Count the cores; joblib knows affinity and the quota of a control group."""
    from joblib import cpu_count, effective_n_jobs

    usable = cpu_count()
    return machine.cores(usable, os.cpu_count() or usable, effective_n_jobs(jobs))


def _memory(jobs: int) -> Finding:
    """Read from the kernel the memory that is left to this process."""
    from joblib import effective_n_jobs

    groups = Path("/proc/self/cgroup")
    membership = groups.read_text() if groups.exists() else ""
    available = machine.memory_room(Path("/proc/meminfo").read_text(), membership)
    return machine.memory(available, effective_n_jobs(jobs))


def shared_memory(folder: Path = Path("/dev/shm"), needed: int | None = None) -> Finding:
    """Find how large shared memory is, write to it, and compare it with the bytes needed."""
    if not folder.is_dir():
        return machine.shared_memory(None)
    status = os.statvfs(folder)
    size = status.f_blocks * status.f_frsize
    error = machine.write_error(folder)
    return machine.shared_memory(size, free_space(folder)[0], error, needed)


def _temporary() -> Finding:
    """Find the folder for temporary files."""
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError:
        return disk.temporary(None, None, 0)
    return disk.temporary(folder, os.environ.get("TMPDIR"), free_space(folder)[0])


def _compiled_code() -> Finding:
    """Find where compiled code is kept."""
    from dilo.pipeline.common.compiled import CACHE

    if CACHE.folder is None:
        return machine.compiled_code(None, None, 0, CACHE.skipped)
    existing = nearest_existing(CACHE.folder)
    mount = _mount(existing)
    free, _ = free_space(existing)
    network = mount.network if mount else None
    return machine.compiled_code(existing, network, free, CACHE.skipped)
