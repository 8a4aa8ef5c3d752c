"""Processes that train together, as torchrun would start them."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence


def launch(
    arguments: Sequence[str], count: int = 2, *, output: int = subprocess.PIPE
) -> list[subprocess.Popen[str]]:
    """Start Python with the same arguments in as many ranks, each in a session of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    shared |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            start_new_session=True,
            stdout=output,
            stderr=output,
            text=True,
        )
        for rank in range(count)
    ]


def finish(processes: Sequence[subprocess.Popen[str]], status: int = 0) -> list[str]:
    """Wait for all to end with a status, and give what each wrote to its standard output."""
    written = [process.communicate(timeout=240) for process in processes]
    ended = [process.returncode for process in processes]
    assert ended == [status] * len(ended), f"ended with {ended}: {[w[1][-2000:] for w in written]}"
    return [output for output, _ in written]
