"""What a launcher told this process, known before torch is imported."""

import os


def is_first() -> bool:
    """Tell whether this process speaks, of those that torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


def quiet(line: str) -> None:
    """Say nothing: another process does."""
