"""One GPU a process: how many there are, and which one is this process's own."""

import contextlib
import fcntl
import functools
import os
import stat
import tempfile
from pathlib import Path

from dilo.pipeline.common.plugins import LazyFunction
from dilo.pipeline.errors import DiloError

# Named in words: imports run one way, and torch is not asked for where no network runs.
_COUNT = LazyFunction("dilo.train.runtime.devices", "gpus")
_NAME = LazyFunction("dilo.train.runtime.devices", "gpu_name")
_DEVICE = LazyFunction("dilo.train.runtime.devices", "choose_device")
_PRECISION = LazyFunction("dilo.train.runtime.devices", "choose_precision")


def gpus() -> int:
    """Count the GPUs that this process may use; 0 also where torch is not installed."""
    try:
        return int(_COUNT())
    except ModuleNotFoundError:
        return 0


def require_gpus(precision: str) -> int:
    """Count the GPUs that this process may use, of which there must be some."""
    count = _require_any()
    if precision == "bf16":  # which alone not all can; to look takes memory of a GPU
        _PRECISION(precision, _DEVICE("cuda"))
    return count


def choose_precision(device: str) -> str:
    """Choose what a network computes in where that is left to the device."""
    return str(_PRECISION("auto", _DEVICE(device))) if device == "cuda" else "fp32"


def _require_any() -> int:
    """Count the GPUs, of which there must be some."""
    count = gpus()
    if not count:
        _DEVICE("cuda")  # says why
        raise DiloError("--device cuda needs a GPU that torch can use, got none: give --device cpu")
    return count


def automatic_device() -> str:
    """Choose GPUs if there are any; one that torch cannot use is an error."""
    if gpus():
        return "cuda"
    with contextlib.suppress(ModuleNotFoundError):  # without torch, there is no network either
        _DEVICE("auto")
    return "cpu"


def own_device(device: str) -> str:
    """Choose where this process computes, as torch names it, once for its lifetime."""
    return f"cuda:{_claim_gpu()}" if device == "cuda" else device


@functools.cache
def _claim_gpu() -> int:
    """Claim a GPU that no process of this machine has; the claim ends with the process."""
    count = _require_any()
    for index in range(count):
        if _try_lock(Path(tempfile.gettempdir()) / f"dilo-{_NAME(index)}.lock"):
            return index
    # More processes than GPUs: as their numbers follow each other, they spread.
    return os.getpid() % count


def _try_lock(path: Path) -> bool:
    """Lock a file until this process ends, unless another has it."""
    try:
        # Not closed again. Another user's file can be locked, though not written; a link or a
        # pipe of theirs is no lock.
        flags = os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)
        except PermissionError:
            file = os.open(path, os.O_RDONLY | flags)
    except OSError:
        return False
    try:
        if stat.S_ISREG(os.fstat(file).st_mode):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        pass
    os.close(file)
    return False
