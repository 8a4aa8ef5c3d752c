"""Processes forked from a test: alone, or as torchrun would start those that train together."""

import multiprocessing
import os
import socket
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path


def fork_ranks(work: Callable[[], object], folder: Path, count: int = 2) -> list[BaseProcess]:
    """Begin some work in as many ranks, each forked as `fork` does; errors go to a folder."""
    shared = _shared_variables(count)
    return [
        fork(work, folder / f"errors-{rank}", shared | _own_variables(rank))
        for rank in range(count)
    ]


def fork(
    work: Callable[[], object], errors: Path, variables: Mapping[str, str] | None = None
) -> BaseProcess:
    """Begin some work in a process that has all that this one has imported already.

    It leads a session of its own, and what it says on standard error goes to a file.
    """

    def begin() -> None:
        os.setsid()
        os.environ.update(variables or {})
        with errors.open("w") as sys.stderr:
            work()

    process = multiprocessing.get_context("fork").Process(target=begin, name=str(errors))
    with warnings.catch_warnings():
        # Of threads, from Python 3.12 on: here they wait for work, and hold no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    return process


def join(processes: Sequence[BaseProcess], status: int = 0) -> None:
    """Wait for all to end with a status."""
    for process in processes:
        process.join(timeout=240)
    ended = [process.exitcode for process in processes]
    said = "".join(Path(process.name).read_text() for process in processes)
    for process in processes:
        process.kill()  # which does nothing to one that has ended
    assert ended == [status] * len(ended), said


def _shared_variables(count: int) -> dict[str, str]:
    """Give the variables that torchrun sets for all ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}


def _own_variables(rank: int) -> dict[str, str]:
    """Give the variables that torchrun sets for one rank."""
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}
