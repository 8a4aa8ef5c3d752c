"""How far a store is: what is there, what is missing, what failed, in words and for machines."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilo.pipeline.common.printing import counted, failure_lines
from dilo.pipeline.errors import StoreError
from dilo.pipeline.store.plan import Plan, load_names, shard_path
from dilo.pipeline.store.shardfile import ShardSummary, read_summary


@dataclass(frozen=True)
class Status:
    """How far a store is."""

    #: What it will hold.
    plan: Plan
    #: Those of its shards that are counted, all or a share.
    shards: Sequence[int]
    #: Shards that are still to do.
    missing: list[int]
    #: Shards that are there.
    done: list[int]
    #: What the images of each of these came to.
    summaries: list[ShardSummary]

    @property
    def done_images(self) -> int:
        """Count the images in the shards that are there."""
        return sum(summary.images for summary in self.summaries)

    @property
    def empty_masks(self) -> int:
        """Count the masks in which nothing is salient, of images that did not fail."""
        return sum(summary.empty_masks for summary in self.summaries)

    @property
    def failed(self) -> dict[str, str]:
        """Return path and reason of each image that could not be read."""
        return {
            path: reason for summary in self.summaries for path, reason in summary.failed.items()
        }

    @property
    def _images(self) -> int:
        """Count the images of the shards that count."""
        return sum(len(self.plan.rows(shard)) for shard in self.shards)

    def report_lines(
        self, store: Path, *, say_missing: bool, max_failures: int, details: Sequence[str] = ()
    ) -> list[str]:
        """Format it for people: counts, the `details`, some failures, the missing shards."""
        failed = self.failed
        lines = [
            f"{store}: {len(self.done)} of {len(self.shards)} shards, "
            f"{self.done_images} of {self._images} images, {len(failed)} failed"
        ]
        lines += [f"  {line}" for line in details]
        if self.empty_masks:
            lines.append(f"  {counted(self.empty_masks, 'mask')} empty: nothing is salient there")
        lines += failure_lines(failed, max_failures, f": dilo-prep status {store} --json")
        if self.missing and say_missing:
            lines.append(f"  missing shards: {format_ranges(self.missing)}")
        return lines

    def as_dict(self, store: Path) -> dict[str, Any]:
        """Return it for JSON."""
        plan = self.plan
        return {
            "store": str(store),
            "kind": plan.kind,
            "method": plan.method,
            "refine": plan.parameters.get("refine", {}).get("method"),
            "size": plan.size,
            "images": self._images,
            "shards": len(self.shards),
            "done_shards": len(self.done),
            "done_images": self.done_images,
            "missing": self.missing,
            **({"empty_masks": self.empty_masks} if plan.kind == "masks" else {}),
            "failed": self.failed,
        }


def missing_shards(store: Path, plan: Plan) -> list[int]:
    """List the shards that are still to do."""
    # One listing: a look for each of a thousand names is slow on a shared disk, and NFS
    # remembers for a minute that a name was not there.
    existing = set(os.listdir(store)) if store.is_dir() else set()
    return [i for i in range(plan.shards) if shard_path(store, i).name not in existing]


def require_complete(store: Path, plan: Plan, label: str, purpose: str = "") -> None:
    """Refuse a store of which shards are missing; `label` names it in the error."""
    if missing := missing_shards(store, plan):
        raise StoreError(
            f"{label} must be whole{purpose}, got missing shards {format_ranges(missing)}: "
            f"run the same dilo-prep command to its end first"
        )


def status(store: Path, share: Sequence[int] | None = None) -> Status:
    """Read how far a store is, or some of its shards."""
    plan = Plan.load(store)
    load_names(store, plan)  # as many shards as the list has images for, and no more
    shards = range(plan.shards) if share is None else share
    in_share = set(shards)
    missing = [shard for shard in missing_shards(store, plan) if shard in in_share]
    done = sorted(in_share - set(missing))
    summaries = [read_summary(store, plan, shard) for shard in done]
    return Status(plan, shards, missing, done, summaries)


def format_ranges(numbers: list[int]) -> str:
    """Format increasing numbers as batch systems read them.

    Examples
    --------
    >>> format_ranges([0, 1, 2, 3, 7])
    '0-3,7'
    """
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)
