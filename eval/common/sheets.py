"""What sheets show: the best, median and worst images, under names that differ."""

import re
from collections.abc import Sequence


def sheet_names(names: Sequence[str]) -> list[str]:
    """Make file names of methods' names: plain letters, and no two alike.

    Examples
    --------
    >>> sheet_names(["rbd", "../a b", "RBD"])
    ['sheet-rbd.png', 'sheet-a-b.png', 'sheet-RBD-2.png']
    """
    taken: set[str] = set()
    files = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:100].strip(".-") or "masks"
        file, number = plain, 1
        while file.lower() in taken:
            number += 1
            file = f"{plain}-{number}"
        taken.add(file.lower())
        files.append(f"sheet-{file}.png")
    return files


#: Examples of each kind, in one row.
EACH = 3


def best_median_worst(order: list[int]) -> dict[str, list[int]]:
    """Take the ends and the middle of a ranking."""
    count = min(EACH, len(order))
    middle = (len(order) - count) // 2
    return {
        "best": order[:count],
        "median": order[middle : middle + count],
        "worst": order[::-1][:count],
    }
