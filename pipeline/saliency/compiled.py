"""Compile a loop to machine code once a machine: numba, its cache off shared file systems."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config as _config

Function = TypeVar("Function", bound=Callable[..., Any])


def cache_folder() -> Path | None:
    """Choose where compiled code is kept from one process to the next.

    Hundreds of nodes that write one cache on a shared disk break each other's files, so it
    lies in this machine's folder for temporary files, readable by this user alone: what is
    loaded from there is run.

    Returns
    -------
    Path or None
        A folder of this user; None where numba's own variable NUMBA_CACHE_DIR already says
        one, or where the folder cannot be made or trusted, and each process must compile.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return None
    folder = Path(tempfile.gettempdir()) / f"dilo-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    return folder if private and found.st_uid == os.getuid() else None


config: Any = _config  # its settings are made when it is imported, unseen by type checkers
_CACHE = cache_folder()
_CACHED = _CACHE is not None or bool(os.environ.get("NUMBA_CACHE_DIR"))


def nothing_compiled(module: str = "*") -> bool:
    """Tell whether the first use of a function will wait for the compiler.

    Parameters
    ----------
    module : str, default any
        File of the function, without its folder and its ending.

    Returns
    -------
    bool
        True where no earlier process has left compiled code, or none can be kept.
    """
    folder = _CACHE or Path(os.environ.get("NUMBA_CACHE_DIR", os.devnull))
    return next(folder.rglob(f"{module}.*.nbc"), None) is None


def compiled(function: Function) -> Function:
    """Compile a function when it is first called, or load what an earlier process compiled.

    Without numba's fast mathematics: sums keep their order and no product is fused, so that
    a mask's bytes do not depend on how wide the processor's vectors are.

    Parameters
    ----------
    function : callable
        Loops over arrays and numbers, which numba can type.

    Returns
    -------
    callable
        The same function, fast.
    """
    before = config.CACHE_DIR
    try:
        if _CACHE is not None:  # for these functions alone: numba asks while it decorates
            config.CACHE_DIR = str(_CACHE)
        return numba.njit(function, cache=_CACHED, nogil=True, error_model="numpy")  # type: ignore[no-any-return]
    finally:
        config.CACHE_DIR = before
