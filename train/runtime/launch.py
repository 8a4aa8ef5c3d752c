"""What a launcher told this process, known before torch is imported."""

import os


def is_first() -> bool:
    """Check whether this process is the first of those that torchrun started, and so logs."""
    return int(os.environ.get("RANK", "0")) == 0


def quiet(line: str) -> None:
    """Log nothing: another process does."""
