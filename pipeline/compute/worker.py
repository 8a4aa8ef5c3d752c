"""What a worker needs before it works: compiled code, and no more than one core."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import cv2
from threadpoolctl import threadpool_limits

from dilo.pipeline.common.elsewhere import import_elsewhere
from dilo.pipeline.common.startup import safe_environment

#: Seconds between two looks of a worker at whether its program lives.
PARENT_CHECK_SECONDS = 0.5
#: Environment of a worker process: libraries that start threads when they are imported start one.
THREAD_LIMITS = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB", "NUMEXPR", "NUMBA")
}


def worker_environment() -> dict[str, str]:
    """Return the variables that a worker process is started with, beyond its program's.

    One thread a library, search paths without the current folder, and the folder of compiled code
    that this process has chosen, so that a worker chooses none of its own.
    """
    compiled = sys.modules.get("dilo.pipeline.common.compiled")  # only where it is used already
    cache = compiled.CACHE.folder if compiled is not None else None
    cache_setting = {} if cache is None else {"NUMBA_CACHE_DIR": os.fspath(cache)}
    return THREAD_LIMITS | safe_environment() | cache_setting


@contextlib.contextmanager
def safe_interpreters() -> Iterator[None]:
    """Start processes, and helpers of theirs, that take no code from the current folder.

    A program does so throughout; this is for a library's user, whose environment stays as it is.
    """
    safe = safe_environment()
    before = {name: os.environ.get(name) for name in safe}
    os.environ.update(safe)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def start_worker(parent_pid: int) -> None:
    """Begin a worker process that ends with its program, and by no signal of its own.

    If the program is killed, nobody is left to end its workers: they would wait for work for ever.
    """
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    import_elsewhere()
    threading.Thread(target=_exit_with_parent, args=(parent_pid,), daemon=True).start()


def _exit_with_parent(parent_pid: int) -> None:
    """Wait until the parent is another process, and end at once."""
    while os.getppid() == parent_pid:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


@contextlib.contextmanager
def ignore_hangup() -> Iterator[None]:
    """Start processes that a closed terminal does not end; they inherit what is ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Keep every library's threads to one: workers share the cores, and no sum is reordered."""
    # Read when numba is imported. Nothing of ours starts its pool; a foreign method might.
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    cv2.setNumThreads(1)
    with threadpool_limits(limits=1):
        yield
