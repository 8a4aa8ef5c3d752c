"""What answers say of the reliance on backgrounds: shares in percent, with 95 % intervals."""

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from dilo.eval.backgrounds.classify import Answers
from dilo.eval.common.intervals import Z
from dilo.eval.common.outcomes import (
    Proportion,
    interval_cell,
    mean_difference,
    pair_name,
    pair_table,
    proportion,
)
from dilo.eval.common.tables import text_table


def background_gap(same: Answers, rand: Answers) -> Proportion | None:
    """Say how much accuracy a background of the right class gives.

    References
    ----------
    .. [1] K. Xiao, L. Engstrom, A. Ilyas and A. Madry, "Noise or Signal: The Role of Image
       Backgrounds in Object Recognition", ICLR 2021: BG-Gap.
    """
    first, second = same.right.astype(np.float64), rand.right.astype(np.float64)
    if not len(first) or not len(second):
        return None
    if paired(same, rand):
        return mean_difference(first - second)
    gap = float(first.mean() - second.mean())
    variance = sum(float(right.var()) / len(right) for right in (first, second))
    reach = Z * math.sqrt(variance)
    return Proportion(
        100 * gap, 100 * (gap - reach), 100 * (gap + reach), min(len(first), len(second))
    )


def background_match_rate(answers: Answers) -> Proportion | None:
    """Say how often the answer is the class of the background and not that of the foreground."""
    if answers.background_labels is None:
        return None
    other = answers.background_labels != answers.labels
    return proportion((answers.predictions == answers.background_labels)[other].numpy())


def retained_rate(original: Answers, answers: Answers) -> Proportion | None:
    """Say how often an answer that was right on the original stays right."""
    if not paired(original, answers):
        return None
    return proportion(answers.right[original.right])


def paired(first: Answers, second: Answers) -> bool:
    """Tell whether two variations are of the same images, in the same order."""
    return first.paths == second.paths


def reliance_metrics(by_variation: Mapping[str, Answers]) -> dict[str, object]:
    """Gather the numbers of one classifier, from its answers by variation."""
    shares = {name: proportion(answers.right) for name, answers in by_variation.items()}
    record: dict[str, object] = {"top1": _said(shares)}
    if {"mixed_same", "mixed_rand"} <= by_variation.keys():
        gap = background_gap(by_variation["mixed_same"], by_variation["mixed_rand"])
        record["bg_gap"] = None if gap is None else vars(gap)
    changed = {name: answers for name, answers in by_variation.items() if name != "original"}
    if "original" in by_variation:
        stays = {
            name: retained_rate(by_variation["original"], answers)
            for name, answers in changed.items()
        }
        record["retained"] = _said(stays)
    record["follows_background"] = _said(
        {name: background_match_rate(a) for name, a in changed.items()}
    )
    return record


def paired_metrics(by_name: Mapping[str, Mapping[str, Answers]]) -> list[dict[str, object]]:
    """Compare each pair of classifiers, by name, on the images that both were shown."""
    pairs: list[dict[str, object]] = []
    for (name, first), (other, second) in combinations(by_name.items(), 2):
        common = [v for v in first if v in second and paired(first[v], second[v])]
        differences = {
            v: first[v].right.astype(np.float64) - second[v].right.astype(np.float64)
            for v in common
        }
        pair: dict[str, object] = {"first": name, "second": other}
        pair["top1"] = {v: vars(mean_difference(values)) for v, values in differences.items()}
        gaps = [differences[v] for v in ("mixed_same", "mixed_rand") if v in differences]
        if len(gaps) == 2 and paired(first["mixed_same"], first["mixed_rand"]):
            pair["bg_gap"] = vars(mean_difference(gaps[0] - gaps[1]))
        pairs.append(pair)
    return pairs


def _said(shares: Mapping[str, Proportion | None]) -> dict[str, object]:
    """Turn what is known into what JSON holds."""
    return {name: vars(share) for name, share in shares.items() if share is not None}


#: What each column is, for below the table.
MEANINGS = {
    "original": "the images as they are; every number is a percentage",
    "only_fg": "the foreground on black",
    "no_fg": "the background, the foreground cut out in black",
    "mixed_same": "the foreground on a background of its own class",
    "mixed_rand": "the foreground on a background of any class, its own too",
    "mixed_next": "the foreground on a background of the next class",
    "only_bg_b": "the background, the object's box black",
    "only_bg_t": "the background, the object's box filled with background",
    "BG-gap": "mixed_same minus mixed_rand, in points, with its 95 % interval",
    "follows rand": "mixed_rand on the background of another class: that class predicted",
    "follows next": "mixed_next: the class of the background predicted",
}


def table(record: Mapping[str, Any]) -> list[str]:
    """Write one row a classifier, and below it what each number is."""
    cells = {result["name"]: _cells(result) for result in record["results"]}
    columns = [column for column in MEANINGS if any(column in row for row in cells.values())]
    rows = [[name, *(row.get(column, "-") for column in columns)] for name, row in cells.items()]
    lines = text_table(["classifier", *columns], rows)
    chances = sorted({f"{result['chance']:.1f}" for result in record["results"]})
    meanings = {column: MEANINGS[column] for column in columns}
    meanings["chance"] = f"of one class: {' or '.join(chances)}"
    width = max(map(len, meanings))
    lines += ["", *(f"{column:<{width}}  {text}" for column, text in meanings.items())]
    gaps = [(pair, pair.get("bg_gap")) for pair in record["pairs"]]
    pairs = {
        pair_name(pair): {**pair["top1"], **({"BG-gap": gap} if gap else {})} for pair, gap in gaps
    }
    return [*lines, *pair_table(pairs, list(MEANINGS))]


def _cells(result: Mapping[str, Any]) -> dict[str, str]:
    """Write the cells of one classifier."""
    cells = {name: f"{share['value']:.1f}" for name, share in result["top1"].items()}
    if gap := result.get("bg_gap"):
        cells["BG-gap"] = interval_cell(gap)
    for name, share in result["follows_background"].items():
        cells[f"follows {name.removeprefix('mixed_')}"] = f"{share['value']:.1f}"
    return cells


def heading(record: Mapping[str, Any]) -> str:
    """Say in a line what was judged."""
    if record["mode"] == "challenge":
        return f"the Backgrounds Challenge in {record['images']}, shown at {record['side']} px"
    counts = sorted({result["images"] for result in record["results"]})
    images = " or ".join(f"{count:,}" for count in counts)
    return (
        f"variations of {images} images of {record['images']}, {record['judged_classes']} classes, "
        f"by the masks {record['masks']}, seed {record['seed']}"
    )
