"""Which process wrote something, and whether it still lives: what sweeps and claims go by."""

import os
import re
import socket
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = "/proc/self/ns/pid"


def own_namespace() -> str:
    """Name the space in which this process has its number, in a way that a file name can hold.

    Two containers may have one host name and see different processes under one number; so may a
    machine before and after it was started anew.
    """
    boot = namespace = ""
    with suppress(OSError):  # systems without /proc have no namespaces either
        boot = _BOOT.read_text(encoding="ascii").strip()
        namespace = os.readlink(_NAMESPACE)
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "localhost"
    return f"{host}-{sha256(f'{boot} {namespace}'.encode()).hexdigest()[:8]}"


def is_alive(namespace: str, pid: int) -> bool | None:
    """Check whether a process can still write; a zombie, which nobody waited for, cannot.

    Returns None where it cannot be asked: it is of another machine, container or boot.
    """
    if namespace != own_namespace():
        return None
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def start_time(pid: int) -> str:
    """Return when a process of this namespace was started, for numbers are given again.

    Times are text that means something only to compare; empty where there is no such process.
    """
    try:
        # In ticks since the machine began, which no change of the clock moves.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZXx" else fields[19]
    except (OSError, IndexError):
        pass
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return f"{process.create_time():.0f}"
    return ""
