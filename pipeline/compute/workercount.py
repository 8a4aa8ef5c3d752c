"""How many processes decode where the user does not say: of the cores that this program may use."""

import os
from typing import Final

#: What says, on the process, how many of one training run on its machine: torchrun sets it.
RANKS_HERE: Final = "LOCAL_WORLD_SIZE"
#: For the help of the commands.
DEFAULT_WORKERS_HELP: Final = "one less than the process's share of the usable cores, at most"


def usable_cores() -> int:
    """Count the cores that this process may use, by its affinity and its control group's quota."""
    from joblib import cpu_count  # takes long to import, and --help does without

    return max(1, int(cpu_count()))


def default_workers(limit: int) -> int:
    """Choose how many processes decode for this one, of `limit` at most.

    The usable cores, less one for each rank on this machine, divided among these; at least 1.
    """
    setting = os.environ.get(RANKS_HERE, "")
    ranks = (
        max(1, int(setting)) if setting.isascii() and setting.isdigit() and len(setting) < 6 else 1
    )
    return min(limit, max(1, (usable_cores() - ranks) // ranks))
