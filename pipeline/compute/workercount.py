"""How many processes decode where the user does not say: of the cores that this program may use."""

import os
from typing import Final

#: What says, on the process, how many of one training run on its machine: torchrun sets it.
RANKS_HERE: Final = "LOCAL_WORLD_SIZE"
#: For the help of the commands.
WORDS: Final = "usable cores less one a process of the training, shared among them, at most"


def usable_cores() -> int:
    """Count the cores that this process may use, by its affinity and its control group's quota."""
    from joblib import cpu_count  # takes long to import, and --help does without

    return max(1, int(cpu_count()))


def default_workers(most: int) -> int:
    """Choose how many processes of this one decode."""
    word = os.environ.get(RANKS_HERE, "")
    ranks = max(1, int(word)) if word.isascii() and word.isdigit() and len(word) < 6 else 1
    return min(most, max(1, (usable_cores() - ranks) // ranks))
