"""What ranks of photographs say: shares and medians, their intervals, and what chance gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from dilo.eval.common.intervals import median
from dilo.eval.common.outcomes import (
    interval_cell,
    mean_difference,
    pair_name,
    pair_table,
    proportion,
)
from dilo.eval.common.tables import text_table

#: Queries that are compared with all images at once.
CHUNK = 256
#: The photograph itself is found among so many, by the key of the share.
AMONG = {"top1": 1, "top10": 10}
#: A chance that is as near as this to one half is one half.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Ranks:
    """What a network finds for N queries of each of Q images.

    A photograph is what is looked for: an image, or several that are to count as one.
    """

    #: Rank of each query's own photograph, from 1; of shape (Q, N), int64.
    own: NDArray[np.int64]
    #: Position in the folder of the image most similar to each query; of shape (Q, N), int64.
    first: NDArray[np.int64]
    #: Number of the photograph that each image is of; of shape (Q,), int64.
    photographs: NDArray[np.int64]

    def shares(self, hits: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Compute which share of the queries of each photograph are hits.

        Parameters
        ----------
        hits : ndarray of shape (Q, N), bool
            Which queries are.

        Returns
        -------
        ndarray of shape (P,), float64
            By the number of the photograph. Queries of one photograph are no independent
            evidence, so that a photograph counts once, however many queries it has.
        """
        _, places = np.unique(self.photographs, return_inverse=True)
        shares: NDArray[np.float64] = np.bincount(places, hits.mean(1)) / np.bincount(places)
        return shares

    def median_ranks(self) -> list[int]:
        """Find the median rank of each photograph over its queries, the lower one of two."""
        ranks = self.own.ravel()
        photographs = np.repeat(self.photographs, self.own.shape[1])
        order = np.lexsort((ranks, photographs))
        _, starts, counts = np.unique(photographs[order], return_index=True, return_counts=True)
        medians: list[int] = ranks[order][starts + (counts - 1) // 2].tolist()
        return medians


def rank_photographs(
    bank: Tensor,
    photographs: Tensor,
    queries: Tensor,
    own: Tensor,
    device: torch.device | None = None,
) -> tuple[Tensor, Tensor]:
    """Rank photographs by the cosine of their features with each query's.

    Parameters
    ----------
    bank : Tensor of shape (M, D), float32
        Features of all images.
    photographs : Tensor of shape (M,), int64
        Number of the photograph that each is of.
    queries : Tensor of shape (Q, D), float32
        Features of the queries.
    own : Tensor of shape (Q,), int64
        Number of the photograph that each query is of.
    device : torch.device, optional
        Where to compute; the CPU by default.

    Returns
    -------
    ranks : Tensor of shape (Q,), int64
        Place of the most similar image of the query's own photograph, from 1. Images of others
        that are as similar stand before it: a network that maps all images to one point finds
        nothing.
    first : Tensor of shape (Q,), int64
        Row of the most similar image.
    """
    columns = normalize(bank.to(device or "cpu")).T
    photographs = photographs.to(columns.device)
    ranks, first = [], []
    for start in range(0, len(queries), CHUNK):
        block, wanted = (part[start : start + CHUNK].to(columns.device) for part in (queries, own))
        similarities = normalize(block) @ columns
        is_own = photographs == wanted[:, None]
        best = similarities.where(is_own, -torch.inf).amax(1, keepdim=True)
        ranks.append(1 + ((similarities >= best) & ~is_own).sum(1).cpu())
        first.append(similarities.argmax(1).cpu())
    return torch.cat(ranks), torch.cat(first)


def rank_metrics(
    ranks: Ranks, photographs: NDArray[np.int64], donors: NDArray[np.int64]
) -> dict[str, object]:
    """Gather what is told of one network.

    Parameters
    ----------
    ranks : Ranks
        Of N queries of each of Q images.
    photographs : ndarray of shape (M,), int64
        Number of the photograph that each image of the folder is of.
    donors : ndarray of shape (Q, N), int64
        Position in the folder of the image that lent each background; -1 for none.

    Returns
    -------
    dict
        Shares in percent and the median rank, each with its "value", 95 % interval and "images",
        the number of photographs.
    """
    record: dict[str, object] = {}
    for key, count in AMONG.items():
        share = proportion(ranks.shares(ranks.own <= count))
        record[key] = share and vars(share)
    medians = ranks.median_ranks()
    value, (low, high) = median(medians)
    record["median_rank"] = {"value": value, "low": low, "high": high, "images": len(medians)}
    if (donors >= 0).all():
        share = proportion(ranks.shares(photographs[ranks.first] == photographs[donors]))
        record["finds_background"] = share and vars(share)
    return record


def paired_ranks(by_name: Mapping[str, Ranks]) -> list[dict[str, object]]:
    """Compare each pair of networks, by name, on the same queries."""
    return [
        {
            "first": name,
            "second": other,
            **{
                key: vars(mean_difference(a.shares(a.own <= n) - b.shares(b.own <= n)))
                for key, n in AMONG.items()
            },
        }
        for (name, a), (other, b) in combinations(by_name.items(), 2)
    ]


def chance(
    queried: NDArray[np.int64],
    photographs: NDArray[np.int64],
    donors: NDArray[np.int64],
    candidates: NDArray[np.int64],
) -> dict[str, float]:
    """Say what a network would reach that orders all candidates at random.

    Parameters
    ----------
    queried : ndarray of shape (Q,), int64
        Number of the photograph of each image that is asked for.
    photographs : ndarray of shape (M,), int64
        Number of the photograph that each image of the folder is of.
    donors : ndarray of shape (Q, N), int64
        Position in the folder of the image that lent each background; -1 for none.
    candidates : ndarray of shape (C,), int64
        Number of the photograph of each image that can be found.

    Returns
    -------
    dict
        The keys of `rank_metrics`, each with a number.
    """
    images, sizes = len(candidates), np.bincount(candidates, minlength=photographs.max() + 1)
    missed = np.zeros(images)  # by rank, that the photograph does not stand so early
    of_size = np.bincount(sizes[np.unique(queried)])
    for size in np.flatnonzero(of_size):
        left = np.arange(images, 0, -1.0)
        missed += of_size[size] * np.cumprod(np.maximum(left - size, 0) / left)
    by_rank = 1 - missed / of_size.sum()
    numbers = {key: 100 * float(by_rank[min(n, images) - 1]) for key, n in AMONG.items()}
    numbers["median_rank"] = int((by_rank >= 0.5 - ROUNDING).argmax()) + 1
    if (donors >= 0).all():
        numbers["finds_background"] = 100 * float(sizes[photographs[donors]].mean()) / images
    return numbers


#: What each column is, for below the table.
MEANINGS = {
    "first": "queries whose own photograph is the most similar one, in percent",
    "among ten": "queries whose own photograph is among the ten most similar ones",
    "median rank": "of the own photograph among all; 1 is the best",
    "background": "queries for which the most similar one is the photograph of the background",
}
#: Where they stand in the record.
KEYS = dict(zip(MEANINGS, (*AMONG, "median_rank", "finds_background"), strict=True))


def table(record: Mapping[str, Any]) -> list[str]:
    """Write one row a network, chance below them, and then what each number is."""
    results = record["results"]
    columns = [name for name, key in KEYS.items() if any(key in result for result in results)]
    rows = [[result["name"], *(_cell(result, name) for name in columns)] for result in results]
    by_chance = [record["chance"][KEYS[name]] for name in columns]
    digits = [0 if name == "median rank" else 2 for name in columns]
    cells = [f"{value:,.{after}f}" for value, after in zip(by_chance, digits, strict=True)]
    rows.append(["chance", *cells])
    meanings = [f"{name:<12} {MEANINGS[name]}" for name in columns]
    pairs = {
        pair_name(pair): {name: pair[key] for name, key in KEYS.items() if key in pair}
        for pair in record["pairs"]
    }
    lines = [*text_table(["checkpoint", *columns], rows), "", *meanings]
    return [*lines, *pair_table(pairs, list(MEANINGS))]


def _cell(result: Mapping[str, Any], name: str) -> str:
    """Write a number of a network with its interval."""
    if name != "median rank":
        return interval_cell(result[KEYS[name]]) if KEYS[name] in result else "-"
    rank = result["median_rank"]
    return f"{rank['value']:,} ({rank['low']:,} to {rank['high']:,})"


def heading(record: Mapping[str, Any]) -> str:
    """Say in a line what was asked."""
    words = {"images": "the backgrounds of others", "gray": "gray"}
    backgrounds = words.get(record["backgrounds"], "pictures of a store")
    count = record["results"][0]["images"] * record["questions"]
    among = f"{record['photographs']:,} photographs of {record['images']}"
    if record["same"] == "folder":
        among = f"{record['candidates']:,} images in folders of {among}"
    crops = f"crops of {100 * record['crop']:.0f} to 100 % of an image, mirrored or not"
    return (
        f"{count:,} foregrounds on {backgrounds}, each looked for among {among}; "
        f"{'neither cropped nor mirrored' if record['crop'] == 1 else crops}; seed {record['seed']}"
    )
