"""What a launcher told this process, known before torch is imported."""

import contextlib
import os
import sys
from collections.abc import Iterator

from dilo.pipeline.errors import DiloError


def is_first() -> bool:
    """Check whether this process is the first of those that torchrun started, and so logs."""
    return launch_number("RANK", 0) == 0


def launched_ranks() -> int:
    """Count the processes that a launcher says it started; 1 without one."""
    return launch_number("WORLD_SIZE", 1)


def launch_number(name: str, default: int) -> int:
    """Read a whole number that a launcher has set, under a name in the environment."""
    value = os.environ.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit()):
        raise DiloError(
            f"the environment variable {name} must be a whole number, got {value!r}: unset it, or "
            f"let torchrun set it"
        )
    return int(value)


@contextlib.contextmanager
def end_together() -> Iterator[None]:
    """Let a program that fails among several processes end at once, with its status.

    Python's own end would wait for the device, which may wait for the others.
    """
    try:
        yield
    except SystemExit as end:
        if "torch" in sys.modules:
            from dilo.train.runtime import distributed

            if distributed.world_size() > 1:  # the group is left only where all went well
                distributed.leave(end.code if isinstance(end.code, int) else 1)
        raise


def quiet(line: str) -> None:
    """Log nothing: another process does."""
