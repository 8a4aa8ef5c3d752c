"""How far a store is: what is there, what is missing, what failed, in words and for machines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilo.pipeline.plan import Plan, shard_path
from dilo.pipeline.shards import read_failures


@dataclass(frozen=True)
class Status:
    """How far a store is.

    Attributes
    ----------
    plan : Plan
        What it will hold.
    missing : list of int
        Shards that are still to do.
    done_images : int
        Images in the shards that are there.
    failed : dict of str to str
        Path and reason of each of them that could not be read.
    """

    plan: Plan
    missing: list[int]
    done_images: int
    failed: dict[str, str]

    def lines(self, store: Path, *, say_missing: bool, named: int) -> list[str]:
        """Say it in words.

        Parameters
        ----------
        store : Path
            The store.
        say_missing : bool
            Whether to name the missing shards too.
        named : int
            How many failures to name; `record` names all.

        Returns
        -------
        list of str
            Counts, the first failures, the missing shards.
        """
        plan = self.plan
        lines = [
            f"{store}: {plan.shards - len(self.missing)} of {plan.shards} shards, "
            f"{self.done_images} of {plan.images} images, {len(self.failed)} failed"
        ]
        some = list(self.failed.items())[:named]
        lines += [f"  failed: {path}: {reason}" for path, reason in some]
        if len(self.failed) > named:
            lines.append(f"  and {len(self.failed) - named} more: dilo-prep status {store} --json")
        if self.missing and say_missing:
            lines.append(f"  missing shards: {ranges(self.missing)}")
        return lines

    def record(self, store: Path) -> dict[str, Any]:
        """Say it for machines.

        Parameters
        ----------
        store : Path
            The store.

        Returns
        -------
        dict
            Ready for JSON.
        """
        plan = self.plan
        return {
            "store": str(store),
            "method": plan.method,
            "refine": plan.parameters.get("refine", {}).get("method"),
            "size": plan.size,
            "images": plan.images,
            "shards": plan.shards,
            "done_shards": plan.shards - len(self.missing),
            "done_images": self.done_images,
            "missing": self.missing,
            "failed": self.failed,
        }


def missing_shards(store: Path, plan: Plan) -> list[int]:
    """List the shards that are still to do.

    Parameters
    ----------
    store : Path
        The store.
    plan : Plan
        Its plan.

    Returns
    -------
    list of int
        In order. A shard that is there is done.
    """
    return [i for i in range(plan.shards) if not shard_path(store, i).exists()]


def status(store: Path) -> Status:
    """Say how far a store is.

    Parameters
    ----------
    store : Path
        The store.

    Returns
    -------
    Status
        Counts, and the failures recorded so far.

    Raises
    ------
    StoreError
        If it is no store, or a shard cannot be read.
    """
    plan = Plan.load(store)
    missing = missing_shards(store, plan)
    images, failed = 0, {}
    for shard in sorted(set(range(plan.shards)) - set(missing)):
        count, bad = read_failures(shard_path(store, shard), plan.fingerprint())
        images += count
        failed.update(bad)
    return Status(plan, missing, images, failed)


def ranges(numbers: list[int]) -> str:
    """Write increasing numbers as batch systems read them.

    Parameters
    ----------
    numbers : list of int
        In increasing order.

    Returns
    -------
    str
        Numbers and spans of them, separated by commas.

    Examples
    --------
    >>> ranges([0, 1, 2, 3, 7])
    '0-3,7'
    """
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)
