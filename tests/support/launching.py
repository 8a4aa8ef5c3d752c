"""Processes started from a test: alone, or as torchrun would start those that train together."""

import multiprocessing
import os
import socket
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import cloudpickle
import torch


def start_ranks(work: Callable[[], object], folder: Path, count: int = 2) -> list[BaseProcess]:
    """Begin some work in as many ranks, each as `start` does; errors go to a folder."""
    shared = _shared_variables(count)
    return [
        start(work, folder / f"errors-{rank}", shared | _own_variables(rank))
        for rank in range(count)
    ]


def start(
    work: Callable[[], object], errors: Path, variables: Mapping[str, str] | None = None
) -> BaseProcess:
    """Begin some work that may train, in a process forked from one that only imports.

    Where a test has trained, autograd's threads are lost to a fork of it. Work is sent as it is,
    with all of the test's file that it needs, and not with what a test has put in the place of
    the product's own.
    """
    module = sys.modules[work.__module__]
    cloudpickle.register_pickle_by_value(module)
    try:
        sent = cloudpickle.dumps(work)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    settings = {**os.environ, **(variables or {})}
    process = multiprocessing.get_context("forkserver").Process(
        target=_work, args=(sent, settings, torch.get_num_threads()), name=str(errors)
    )
    process.start()
    return process


def _work(sent: bytes, settings: Mapping[str, str], threads: int) -> None:
    """Do what was sent, with the variables and threads of the test that sent it."""
    # The server passes over what it cannot import, and each process would import torch anew.
    assert "dilo.train.engine.pretrain" in sys.modules, "rename what tests/conftest.py preloads"
    os.environ.clear()
    os.environ.update(settings)
    torch.set_num_threads(threads)
    _in_own_session(cloudpickle.loads(sent))


def fork(work: Callable[[], object], errors: Path) -> BaseProcess:
    """Begin some work that trains nothing in a process that has all that this one has made."""
    process = multiprocessing.get_context("fork").Process(
        target=_in_own_session, args=(work,), name=str(errors)
    )
    with warnings.catch_warnings():
        # Of threads, from Python 3.12 on: here they wait for work, and hold no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    return process


def _in_own_session(work: Callable[[], object]) -> None:
    """Do it as the leader of a session; what it says on standard error goes to a file."""
    os.setsid()
    errors = Path(multiprocessing.current_process().name)
    with errors.open("w") as sys.stderr:
        work()


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
