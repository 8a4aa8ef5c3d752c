"""What ranks of photographs say: shares and medians, their intervals, and what chance gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dilo.eval.backgrounds.metrics import (
    interval_cell,
    mean_difference,
    pair_name,
    pair_table,
    proportion,
)
from dilo.eval.common.intervals import median
from dilo.eval.common.tables import text_table

#: Queries that are compared with all photographs at once.
CHUNK = 256
#: The photograph itself is found among so many, by the key of the share.
AMONG = {"top1": 1, "top10": 10}


@dataclass(frozen=True, eq=False)
class Ranks:
    """What a network finds."""

    #: Rank of each query's own photograph among all, from 1; of shape (Q,), int64.
    own: Tensor
    #: Row of the photograph most similar to each query; of shape (Q,), int64.
    first: Tensor


def rank_photographs(
    bank: Tensor, queries: Tensor, rows: Tensor, device: torch.device | None = None
) -> Ranks:
    """Rank all photographs by the cosine of their features with each query's.

    Parameters
    ----------
    bank : Tensor of shape (M, D), float32
        Features of the photographs.
    queries : Tensor of shape (Q, D), float32
        Features of the queries.
    rows : Tensor of shape (Q,), int64
        Row of each query's own photograph in `bank`.
    device : torch.device, optional
        Where to compute; the CPU by default.

    Returns
    -------
    Ranks
        On the CPU. Photographs that are as similar as its own stand before it: a network that
        maps all images to one point finds nothing.
    """
    photographs = normalize(bank.to(device or "cpu")).T
    own, first = [], []
    for start in range(0, len(queries), CHUNK):
        block, places = (
            part[start : start + CHUNK].to(photographs.device) for part in (queries, rows)
        )
        similarities = normalize(block) @ photographs
        itself = similarities.gather(1, places[:, None])
        own.append((similarities >= itself).sum(1).cpu())
        first.append(similarities.argmax(1).cpu())
    return Ranks(torch.cat(own), torch.cat(first))


def rank_metrics(ranks: Ranks, donors: Tensor) -> dict[str, object]:
    """Gather what is told of one network.

    Parameters
    ----------
    ranks : Ranks
        Of Q queries.
    donors : Tensor of shape (Q,), int64
        Row of the photograph that lent the background; -1 for none.

    Returns
    -------
    dict
        Shares in percent and the median rank, each with its "value", 95 % interval and "images".
    """
    record: dict[str, object] = {}
    for key, count in AMONG.items():
        share = proportion(ranks.own <= count)
        record[key] = share and vars(share)
    value, (low, high) = median(ranks.own.tolist())
    record["median_rank"] = {"value": value, "low": low, "high": high, "images": len(ranks.own)}
    lent = donors >= 0
    if share := proportion((ranks.first == donors)[lent]):
        record["finds_background"] = vars(share)
    return record


def paired_ranks(found: Mapping[str, Ranks]) -> list[dict[str, object]]:
    """Compare each pair of networks, by name, on the same queries."""
    return [
        {
            "first": name,
            "second": other,
            **{
                key: vars(mean_difference((a.own <= n).double() - (b.own <= n).double()))
                for key, n in AMONG.items()
            },
        }
        for (name, a), (other, b) in combinations(found.items(), 2)
    ]


def chance(photographs: int) -> dict[str, float]:
    """Say what a network would reach that orders so many photographs at random."""
    shares = {key: min(100.0, 100 * count / photographs) for key, count in AMONG.items()}
    middle = (photographs + 1) / 2
    return {**shares, "median_rank": middle, "finds_background": 100 / photographs}


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
    crops = f"crops of {100 * record['crop']:.0f} to 100 % of an image, mirrored or not"
    return (
        f"{record['results'][0]['images']:,} foregrounds on {backgrounds}, each looked for among "
        f"{record['photographs']:,} photographs of {record['images']}; "
        f"{'neither cropped nor mirrored' if record['crop'] == 1 else crops}; seed {record['seed']}"
    )
