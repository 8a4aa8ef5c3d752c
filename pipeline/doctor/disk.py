"""Checks of the disk below a folder: what it is, whether it can be written, what is free."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dilo.pipeline.common.disk import gigabytes
from dilo.pipeline.doctor.report import Finding

#: Bytes of an image's row in a store of size 224, measured over ImageNet's sample.
ROW_BYTES = 9_900
#: Images of ImageNet's training set.
IMAGENET = 1_281_167

#: File systems that other machines share; each file opened is a question to a server.
_NETWORK_FILE_SYSTEMS = re.compile(
    r"nfs|lustre|gpfs|beegfs|ceph|cifs|smb|afs|gluster|9p|panfs|wekafs|orangefs"
)


@dataclass(frozen=True)
class Mount:
    """A mounted file system."""

    #: Where.
    point: Path
    #: Its type, as the kernel names it.
    kind: str
    #: As it was mounted.
    options: tuple[str, ...]

    @property
    def network(self) -> str | None:
        """Name its type if other machines share it.

        Returns None for a disk of this machine.
        """
        return self.kind if _NETWORK_FILE_SYSTEMS.search(self.kind) else None


def mount_of(path: Path, mounts: str) -> Mount | None:
    """Find the file system that a place lies on.

    Returns None where the system does not say.
    """
    mount = None
    for line in mounts.splitlines():
        _, point, kind, options, *_ = line.split(" ")
        # Blanks stand as \040. Of several mounts on one point the last one shows.
        mount_point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point))
        deeper = mount is None or len(mount_point.parts) >= len(mount.point.parts)
        if deeper and path.is_relative_to(mount_point):
            mount = Mount(mount_point, kind, tuple(options.split(",")))
    return mount


def folder(directory: Path, existing: Path, writable: bool, mount: Mount | None) -> Finding:
    """Judge whether a folder is there, or can be made."""
    exists = existing == Path(os.path.realpath(directory))
    if not existing.is_dir():
        return Finding("folder", "breaks", f"{existing} is a file", "give another folder")
    state = f"{existing}" if exists else f"does not exist yet; checked {existing}"
    if writable:
        return Finding("folder", "ok", state)
    if mount and "ro" in mount.options:
        advice = f"read only: mount -o remount,rw {mount.point}, or give another folder"
        return Finding("folder", "breaks", state, advice)
    advice = f"this user cannot write there: chown or chmod {existing}, or give another folder"
    return Finding("folder", "breaks", state, advice)


def file_system(mount: Mount | None) -> Finding:
    """Name the kind of disk."""
    check = "file system"
    if mount is None:
        return Finding(check, "ok", "unknown on this system")
    state = f"{mount.kind} on {mount.point}"
    if mount.network:
        advice = "shared: give --plan-only once before an array; no file locks are needed"
        return Finding(check, "ok", state, advice)
    if mount.kind in ("overlay", "aufs"):
        advice = "it is deleted with the container: mount a volume (docker run -v)"
        return Finding(check, "ok", state, advice)
    if mount.kind in ("tmpfs", "ramfs"):
        advice = (
            "it is memory: files here take memory, and are lost when the machine is switched off"
        )
        return Finding(check, "ok", state, advice)
    return Finding(check, "ok", state)


def space(free: int, files: int | None) -> Finding:
    """Compare what is free with what masks take."""
    room = free // ROW_BYTES
    state = f"{gigabytes(free)}, room for {room:,} masks of size 224"
    if files is not None and files < 2_000:
        advice = "a store is up to 1,300 files: remove some files, or ask for more inodes"
        return Finding("free space", "breaks", f"{state}, but {files} files", advice)
    if room < 10_000:
        advice = "free some: dilo-prep masks --dry-run estimates what your images need"
        return Finding("free space", "breaks", state, advice)
    if room < IMAGENET:
        advice = f"ImageNet's {IMAGENET:,} need {gigabytes(IMAGENET * ROW_BYTES)}"
        return Finding("free space", "ok", state, advice)
    return Finding("free space", "ok", state)


def temporary(folder: Path | None, requested: str | None, free: int) -> Finding:
    """Judge the folder for temporary files."""
    if folder is None:
        advice = "set TMPDIR to a folder that can be written and has space"
        return Finding("temporary", "breaks", "no folder can be written", advice)
    state = f"{folder}, {gigabytes(free)} free"
    if free < 100_000_000:
        return Finding("temporary", "slow", state, "free some, or set TMPDIR to another folder")
    if requested and Path(requested).resolve() != folder.resolve():
        return Finding("temporary", "ok", state, f"TMPDIR={requested} cannot be written: ignored")
    return Finding("temporary", "ok", state)
