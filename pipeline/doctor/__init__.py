"""What will break or slow a run on this machine, with masks in this folder."""

import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from dilo.pipeline.common.disk import free_space, nearest
from dilo.pipeline.doctor import disk, machine, packages, speed, writing
from dilo.pipeline.doctor.report import Diagnosis, Finding

#: A check's name, and what makes its findings.
Check = tuple[str, Callable[[], list[Finding]]]


def examine(directory: Path, jobs: int = -1) -> Diagnosis:
    """Check a folder and this machine, in a few seconds."""
    findings: list[Finding] = []
    for name, check in (*_of_folder(directory), *_of_machine(jobs), *_of_packages()):
        try:
            findings += check()
        # What a check stumbles over is news, and no reason to keep the rest from the user.
        except (ImportError, OSError, ValueError) as error:
            findings.append(Finding(name, "ok", f"cannot be told here: {error}"))
    return Diagnosis(directory, findings)


def _of_folder(directory: Path) -> Iterator[Check]:
    """List the checks of a folder and its disk; the later ones only where there is a folder."""
    place = nearest(directory)
    writable = os.access(place, os.W_OK | os.X_OK)
    yield "folder", lambda: [disk.folder(directory, place, writable, _mount(place))]
    yield "file system", lambda: [disk.file_system(_mount(place))]
    if place.is_dir():
        yield "free space", lambda: [disk.space(*free_space(place))]
        if writable:
            yield "writing", lambda: writing.trials(place)
        yield "read speed", lambda: [_reading(place)]


def _of_machine(jobs: int) -> Iterator[Check]:
    """List the checks of this machine, for so many workers."""
    yield "cores", lambda: [_cores(jobs)]
    yield "threads", lambda: [machine.threads(os.environ)]
    yield "memory", lambda: [_memory(jobs)]
    yield "open files", lambda: [machine.open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))]
    if sys.platform == "linux":
        yield "/dev/shm", lambda: [_shared_memory(Path("/dev/shm"))]
    yield "temporary", lambda: [_temporary()]
    yield "compiled code", lambda: [_compiled_code()]


def _of_packages() -> Iterator[Check]:
    """List the checks of what is installed."""
    yield "packages", lambda: packages.packages(packages.requirements())


def _mount(place: Path) -> disk.Mount | None:
    """Find the file system of a place, where the system tells."""
    mounts = Path("/proc/mounts")
    return disk.mount_of(place, os.fsdecode(mounts.read_bytes())) if mounts.exists() else None


def _reading(place: Path) -> Finding:
    """Time a few images, if there are any."""
    from dilo.pipeline.images.listing import EXTENSIONS

    return speed.read_speed(*speed.time_reading(speed.some_images(place, EXTENSIONS)))


def _cores(jobs: int) -> Finding:
    """Count the cores; joblib knows affinity and the quota of a control group."""
    from joblib import cpu_count, effective_n_jobs

    usable = cpu_count()
    return machine.cores(usable, os.cpu_count() or usable, effective_n_jobs(jobs))


def _memory(jobs: int) -> Finding:
    """Ask the kernel for the memory that is left to this process."""
    from joblib import effective_n_jobs

    groups = Path("/proc/self/cgroup")
    membership = groups.read_text() if groups.exists() else ""
    room = machine.memory_room(Path("/proc/meminfo").read_text(), membership)
    return machine.memory(room, effective_n_jobs(jobs))


def _shared_memory(folder: Path) -> Finding:
    """Ask how large shared memory is, and write to it."""
    if not folder.is_dir():
        return machine.shared_memory(None)
    found = os.statvfs(folder)
    size = found.f_blocks * found.f_frsize
    return machine.shared_memory(size, free_space(folder)[0], machine.refusal(folder))


def _temporary() -> Finding:
    """Find the folder for temporary files."""
    try:
        chosen = Path(tempfile.gettempdir())
    except FileNotFoundError:
        return disk.temporary(None, None, 0)
    return disk.temporary(chosen, os.environ.get("TMPDIR"), free_space(chosen)[0])


def _compiled_code() -> Finding:
    """Find where compiled code is kept."""
    from dilo.pipeline.common.compiled import CACHE

    if CACHE.folder is None:
        return machine.compiled_code(None, None, 0, CACHE.passed_over)
    place = nearest(CACHE.folder)
    mount = _mount(place)
    free, _ = free_space(place)
    network = mount.network if mount else None
    return machine.compiled_code(place, network, free, CACHE.passed_over)
