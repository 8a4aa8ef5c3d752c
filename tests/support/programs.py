"""Run dilo-prep as a user does: a process of its own, that can be killed."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
from support.cli import invoke

from dilo.pipeline.cli import main

#: How often a fault that comes at a random moment is tried; raise it for a longer trial.
ROUNDS = int(os.environ.get("DILO_FAULT_ROUNDS", "2"))


def command(*arguments: object) -> list[str]:
    """Give the command line of dilo-prep."""
    return [sys.executable, "-m", "dilo.pipeline", *(str(argument) for argument in arguments)]


def masks(images: Path, store: Path, *more: object) -> tuple[object, ...]:
    """Give the arguments of a run that takes seconds, in twenty shards for sixty images."""
    words = ("masks", "--images", images, "--out", store, "--method", "light")
    return (*words, "--size", 24, "--shard-size", 3, "--workers", 2, *more)


def start(*arguments: object, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start dilo-prep in a session, and so a process group, of its own."""
    with _heard():
        return subprocess.Popen(
            command(*arguments),
            start_new_session=True,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    """Let a program take signals as on a terminal, though the tests may have them ignored."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ignored = [name for name in names if signal.getsignal(name) is signal.SIG_IGN]
    for name in ignored:
        signal.signal(name, signal.SIG_DFL)
    try:
        yield
    finally:
        for name in ignored:
            signal.signal(name, signal.SIG_IGN)


def end(process: subprocess.Popen[str], status: int = 0, timeout: float = 120) -> str:
    """Wait for a program, demand its exit status, and give what it said."""
    _, said = process.communicate(timeout=timeout)
    assert process.returncode == status, said
    assert "Traceback" not in said, said
    return said


def run(*arguments: object, status: int = 0, environment: dict[str, str] | None = None) -> str:
    """Run dilo-prep to its end."""
    return end(start(*arguments, environment=environment), status)


def finished(*arguments: object, status: int = 0) -> str:
    """Run dilo-prep to its end in this process and its threads, where others would tell no more."""
    threads = ("--backend", "threading") if arguments[0] in ("masks", "backgrounds") else ()
    return invoke(main, *arguments, *threads, status=status).stderr


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Find the processes that a program has started and that compute for it."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a program and all that it started, as a batch system does at the end of its patience."""
    with contextlib.suppress(ProcessLookupError):  # where all have ended already
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def content(store: Path) -> dict[str, bytes]:
    """Read every file of a store, to compare two of them to the last byte."""
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }
