"""Which paths are archives of images, and of which kind: told by first bytes, not by names."""

import os
from pathlib import Path
from typing import Any, Final

from dilo.pipeline.common.textfiles import parse_json, read_bytes
from dilo.pipeline.errors import ContentError, DiloError
from dilo.pipeline.images.listing import EXTENSIONS, find_files
from dilo.pipeline.images.signatures import kind_of
from dilo.pipeline.images.tars import COMPRESSED_TARS, is_tar
from dilo.pipeline.images.zips import STARTS

#: The plan of a store, and what it calls one of packed images.
PLAN = "plan.json"
PACKED: Final = "images"
#: Bytes of the longest plan.
MAX_PLAN_BYTES = 2**20
#: What archives in a folder are called.
ENDINGS = (".tar", ".zip")
#: Bytes of a file by which it is recognized.
HEAD = 512
#: What kinds of compressed files are decompressed with, by the words of `kind_of`.
_PROGRAMS = {"gzip": "gunzip", "bzip2": "bunzip2", "xz": "unxz", "zstd": "unzstd"}


def archives_in(folder: Path) -> tuple[str, ...]:
    """List the archives in a folder that holds no images of its own, at any depth; else none."""
    archives = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                lower = entry.name.lower()
                if lower.startswith("."):
                    continue
                if lower.endswith((*ENDINGS, *COMPRESSED_TARS)) and entry.is_file():
                    archives.append(entry.name)
                elif lower.endswith(tuple(EXTENSIONS)) and entry.is_file():
                    return ()
        if archives and next(find_files(folder, EXTENSIONS), None) is None:
            return tuple(sorted(archives))
    except (OSError, DiloError):  # whoever lists the folder says it
        pass
    return ()


def split_path(path: Path) -> tuple[Path, str] | None:
    """Split a path into an archive or packed images and a folder in it; None if no part is one."""
    for parent in (path, *path.parents):
        try:
            if parent.is_file() or is_packed(parent):
                inner = path.relative_to(parent).as_posix()
                return parent, "" if inner == "." else f"{inner}/"
            if parent.exists():
                return None
        except OSError:
            return None
    return None


def is_packed(folder: Path) -> bool:
    """Check whether a folder is a store of packed images, finished or not."""
    return packed_plan(folder).get("kind") == PACKED


def packed_plan(folder: Path) -> dict[str, Any]:
    """Read the plan of a store; empty where there is none."""
    path = folder / PLAN
    try:
        plan = parse_json(read_bytes(path, MAX_PLAN_BYTES), path)
    except (OSError, ContentError):
        return {}
    return plan if isinstance(plan, dict) else {}


def is_archive(path: Path) -> bool:
    """Check whether a path is an archive, or leads into one; also one that is not read.

    A zip of another name may be anything: so are checkpoints of torch.
    """
    if (parts := split_path(path)) is None:
        return False
    archive, inner = parts
    if inner or archive.name.lower().endswith(ENDINGS):
        return True
    try:
        with archive.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    kind = kind_of(head)
    return is_tar(head) or any(word in kind for word in _PROGRAMS)


def archive_kind(path: Path, head: bytes) -> str:
    """Recognize an archive by its first bytes: "tar" or "zip"; refuse all else."""
    if head.startswith(STARTS):
        return "zip"
    if is_tar(head):
        return "tar"
    kind = kind_of(head)
    program = next((program for word, program in _PROGRAMS.items() if word in kind), None)
    if program is not None:
        raise DiloError(
            f"--images must be a plain tar, for images are read from the middle of it, got {path}, "
            f"which is compressed: decompress it with {program}"
        )
    raise DiloError(
        f"--images must be a folder of images, a tar, a folder of tars or a zip, got {path}, which "
        f"is {kind or 'none of these'}"
    )
