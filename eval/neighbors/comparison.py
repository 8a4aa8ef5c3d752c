"""Checkpoints side by side: what each finds most similar to the same queries."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from dilo.eval.common.results import record_head, skipped_images
from dilo.eval.features.features import Features
from dilo.eval.features.folders import LabelledFolder
from dilo.eval.models.encoder import Encoder
from dilo.eval.neighbors.search import TEMPERATURE, Neighbors, find_neighbors
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import escaped

#: Which queries to show: any, or those where the first checkpoint is right and the second
#: wrong, or the other way round.
Pick = Literal["random", "successes", "failures"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What checkpoints find."""

    #: The images among which neighbours are looked for, those that can be read.
    bank: LabelledFolder
    #: The images they are looked for, with labels numbered as the bank's; or the bank itself.
    queries: LabelledFolder
    #: One a checkpoint.
    results: tuple[Neighbors, ...]
    #: Neighbours to find.
    k: int
    #: Path of each image that is skipped, and why.
    skipped: tuple[tuple[str, str], ...]

    @property
    def has_labels(self) -> bool:
        """Tell whether neighbours can be right or wrong."""
        return bool(self.bank.classes and self.queries.classes)

    def chance(self) -> float:
        """Give the precision of neighbours that are drawn at random."""
        counts = torch.bincount(self.bank.labels, minlength=len(self.bank.classes)).double()
        itself = int(self.queries is self.bank)
        shares = (counts[self.queries.labels] - itself) / (len(self.bank.labels) - itself)
        return 100 * float(shares.mean())

    def select_queries(self, pick: Pick, *, count: int, seed: int) -> list[int]:
        """Choose which queries to show."""
        rows = torch.arange(len(self.queries.names))
        if pick != "random":
            first, second = self.results[:2]
            right, wrong = (first, second) if pick == "successes" else (second, first)
            rows = rows[right.right & ~wrong.right]
            if not len(rows):
                raise DiloError(
                    f"--pick {pick} must find a query where {right.name} is right and {wrong.name} "
                    f"wrong, got none of {len(self.queries.names)}: give more images, or --pick "
                    "random"
                )
        order = np.random.default_rng(seed).permutation(len(rows))[:count]
        return sorted(rows[torch.from_numpy(order)].tolist())

    def record(self, shown: list[int]) -> dict[str, Any]:
        """Gather what was found: how good each checkpoint is, and the shown queries' images."""
        return {
            **record_head("neighbors", (one.encoder for one in self.results)),
            "k": self.k,
            "vote": {"k": self.results[0].voters, "temperature": TEMPERATURE},
            "images": {"folder": str(self.bank.root), "count": len(self.bank.names)},
            "query_images": {"folder": str(self.queries.root), "count": len(self.queries.names)},
            "classes": len(self.bank.classes),
            "chance": self.chance() if self.has_labels else None,
            "checkpoints": [
                {
                    "name": one.name,
                    "checkpoint": str(one.encoder.source),
                    "step": one.encoder.step,
                    "size": one.encoder.size,
                    "precision": one.precision(self.k) if self.has_labels else None,
                    "accuracy": one.accuracy() if self.has_labels else None,
                }
                for one in self.results
            ],
            "queries": [
                {
                    "path": escaped(self.queries.names[row]),
                    "class": self.queries.class_name(row),
                    "checkpoints": [self._of(one, row) for one in self.results],
                }
                for row in shown
            ],
            "skipped": skipped_images(self.skipped),
        }

    def _of(self, one: Neighbors, row: int) -> dict[str, Any]:
        """Gather a query's neighbours by one checkpoint."""
        neighbors = zip(one.rows[row].tolist(), one.similarities[row].tolist(), strict=True)
        return {
            "name": one.name,
            "vote": self.bank.classes[int(one.votes[row])] if self.bank.classes else None,
            "right": bool(one.right[row]) if self.has_labels else None,
            "neighbors": [
                {
                    "path": escaped(self.bank.names[neighbor]),
                    "class": self.bank.class_name(neighbor),
                    "similarity": round(similarity, 4),
                }
                for neighbor, similarity in list(neighbors)[: self.k]
            ],
        }


def compare(
    encoders: Mapping[str, Encoder],
    bank: LabelledFolder,
    queries: LabelledFolder | None,
    *,
    k: int,
    extract: Callable[[Encoder, LabelledFolder], Features],
    device: torch.device | None = None,
) -> Comparison:
    """Look for the neighbours of the same queries by each checkpoint."""
    results: list[Neighbors] = []
    read: list[tuple[LabelledFolder, LabelledFolder]] = []
    skipped: tuple[tuple[str, str], ...] = ()
    for name, encoder in encoders.items():
        bank_features = extract(encoder, bank)
        query_features = bank_features if queries is None else extract(encoder, queries)
        results.append(
            find_neighbors(
                name, encoder, bank_features, None if queries is None else query_features, k, device
            )
        )
        parts = (bank_features,) if queries is None else (bank_features, query_features)
        skipped = tuple(
            (str(part.root / path), reason) for part in parts for path, reason in part.skipped
        )
        folder = _readable(bank_features)
        read.append((folder, folder if queries is None else _readable(query_features)))
        if any(new.names != old.names for new, old in zip(read[-1], read[0], strict=True)):
            raise DiloError(
                f"images of {bank.root} must stay as they are, but {name} could read others than "
                "the checkpoint before: run the same command again"
            )
    return Comparison(*read[0], tuple(results), k, skipped)


def _readable(features: Features) -> LabelledFolder:
    """List the images that have features."""
    return LabelledFolder(
        features.root, features.paths, features.labels, features.classes, features.options
    )
