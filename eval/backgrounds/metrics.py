"""What answers say of the reliance on backgrounds: shares in percent, with 95 % intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dilo.eval.backgrounds.classify import Answers

#: Quantile of the normal distribution: 95 % of it lie within so many deviations of the mean.
Z = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """A share of images, or a difference of two, in percent.

    Attributes
    ----------
    value : float
        The share.
    low, high : float
        Its 95 % interval.
    images : int
        How many it is a share of.
    """

    value: float
    low: float
    high: float
    images: int


def share(hits: Tensor) -> Share | None:
    """Count hits.

    Parameters
    ----------
    hits : Tensor of shape (M,), bool
        One an image.

    Returns
    -------
    Share or None
        With Wilson's interval; None of no images.

    References
    ----------
    .. [1] E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical
       Inference", JASA 1927.
    """
    n = len(hits)
    if not n:
        return None
    p = float(hits.double().mean())
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    reach = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    low, high = max(0.0, middle - reach), min(1.0, middle + reach)
    # At the ends the interval begins at the share itself, which rounding must not miss.
    return Share(100 * p, 100 * min(low, p), 100 * max(high, p), n)


def background_gap(same: Answers, rand: Answers) -> Share | None:
    """Say how much accuracy a background of the right class gives.

    Parameters
    ----------
    same, rand : Answers
        Of Mixed-Same and of Mixed-Rand.

    Returns
    -------
    Share or None
        Accuracy on the first less that on the second, in percentage points. The interval is
        the normal distribution's: of the differences image by image where both are of the same
        images, else of two independent shares. None of no images.

    References
    ----------
    .. [1] K. Xiao, L. Engstrom, A. Ilyas and A. Madry, "Noise or Signal: The Role of Image
       Backgrounds in Object Recognition", ICLR 2021: BG-Gap.
    """
    first, second = same.right.double(), rand.right.double()
    if not len(first) or not len(second):
        return None
    gap = float(first.mean() - second.mean())
    if paired(same, rand):
        variance = float((first - second).var(unbiased=False)) / len(first)
    else:
        variance = sum(float(right.var(unbiased=False)) / len(right) for right in (first, second))
    reach = Z * math.sqrt(variance)
    return Share(100 * gap, 100 * (gap - reach), 100 * (gap + reach), min(len(first), len(second)))


def follows(answers: Answers) -> Share | None:
    """Say how often the answer is the class of the background and not that of the foreground.

    Parameters
    ----------
    answers : Answers
        Of a variation.

    Returns
    -------
    Share or None
        Of the images whose background is of another class than the foreground; None where the
        background's class is not known, or there are none.
    """
    if answers.behind is None:
        return None
    other = answers.behind != answers.labels
    return share((answers.predictions == answers.behind)[other])


def kept(original: Answers, answers: Answers) -> Share | None:
    """Say how often an answer that was right on the original stays right.

    Parameters
    ----------
    original, answers : Answers
        Of the images, and of a variation of them.

    Returns
    -------
    Share or None
        Of the images that were right; None where the variation is of others, or none were.
    """
    if not paired(original, answers):
        return None
    return share(answers.right[original.right])


def paired(first: Answers, second: Answers) -> bool:
    """Tell whether two variations are of the same images, in the same order.

    Parameters
    ----------
    first, second : Answers
        Of the two.

    Returns
    -------
    bool
        By their paths.
    """
    return first.paths == second.paths


def reliance(found: Mapping[str, Answers]) -> dict[str, object]:
    """Gather what is told of one classifier.

    Parameters
    ----------
    found : mapping of str to Answers
        By variation.

    Returns
    -------
    dict
        "top1" by variation, "bg_gap" where Mixed-Same and Mixed-Rand are there, "kept" and
        "follows_background" by variation, where they can be told: each a "value", "low", "high"
        and "images".
    """
    told = {name: share(answers.right) for name, answers in found.items()}
    record: dict[str, object] = {"top1": _said(told)}
    if {"mixed_same", "mixed_rand"} <= found.keys():
        gap = background_gap(found["mixed_same"], found["mixed_rand"])
        record["bg_gap"] = None if gap is None else vars(gap)
    changed = {name: answers for name, answers in found.items() if name != "original"}
    if "original" in found:
        stays = {name: kept(found["original"], answers) for name, answers in changed.items()}
        record["kept"] = _said(stays)
    record["follows_background"] = _said({name: follows(a) for name, a in changed.items()})
    return record


def _said(shares: Mapping[str, Share | None]) -> dict[str, object]:
    """Turn what is known into what JSON holds."""
    return {name: vars(found) for name, found in shares.items() if found is not None}


#: What each column is, for below the table.
MEANINGS = {
    "original": "the images as they are; every number is a percentage",
    "only_fg": "the foreground on black",
    "no_fg": "the background, the foreground cut out in black",
    "mixed_same": "the foreground on a background of its own class",
    "mixed_rand": "on one of any class, its own too",
    "mixed_next": "on one of the next class",
    "only_bg_b": "the background, the object's box black",
    "only_bg_t": "the background, the object's box filled with background",
    "BG-gap": "mixed_same less mixed_rand, in points, with its 95 % interval",
    "follows rand": "of mixed_rand on another class's background, answered by that class",
    "follows next": "of mixed_next, answered by the background's class",
    "challenge": "foregrounds that no background of the test set makes mistaken",
}


def table(record: Mapping[str, Any]) -> list[str]:
    """Write one row a classifier, and below it what each number is.

    Parameters
    ----------
    record : mapping of str to object
        What the JSON says.

    Returns
    -------
    list of str
        Lines.
    """
    rows = [_row(result) for result in record["results"]]
    heads = [head for head in MEANINGS if any(head in row for row in rows)]
    width = max(len("classifier"), *(len(result["name"]) for result in record["results"]))
    wide = {head: max(len(head), *(len(row.get(head, "")) for row in rows)) for head in heads}
    lines = ["  ".join([f"{'classifier':<{width}}", *(f"{h:>{wide[h]}}" for h in heads)])]
    for result, row in zip(record["results"], rows, strict=True):
        cells = [f"{row.get(head, '-'):>{wide[head]}}" for head in heads]
        lines.append("  ".join([f"{result['name']:<{width}}", *cells]))
    chances = sorted({f"{result['chance']:.1f}" for result in record["results"]})
    lines += ["", *(f"{head:<12} {MEANINGS[head]}" for head in heads)]
    return [*lines, f"{'chance':<12} of one class: {' or '.join(chances)}"]


def _row(result: Mapping[str, Any]) -> dict[str, str]:
    """Write the cells of one classifier."""
    cells = {name: f"{told['value']:.1f}" for name, told in result["top1"].items()}
    if gap := result.get("bg_gap"):
        cells["BG-gap"] = f"{gap['value']:.1f} ({gap['low']:.1f} to {gap['high']:.1f})"
    for name, told in result["follows_background"].items():
        cells[f"follows {name.removeprefix('mixed_')}"] = f"{told['value']:.1f}"
    if attacked := result.get("challenge"):
        cells["challenge"] = f"{attacked['value']:.1f}"
    return cells


def heading(record: Mapping[str, Any]) -> str:
    """Say in a line what was judged.

    Parameters
    ----------
    record : mapping of str to object
        What the JSON says.

    Returns
    -------
    str
        For above the table.
    """
    if record["mode"] == "challenge":
        return f"the Backgrounds Challenge in {record['images']}, seen at {record['side']} px"
    counts = sorted({result["images"] for result in record["results"]})
    told = " or ".join(f"{count:,}" for count in counts)
    return (
        f"variations of {told} images of {record['images']}, {record['judged_classes']} classes, "
        f"by the masks {record['masks']}, seed {record['seed']}"
    )


def failures_of(failures: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Turn failures into what JSON holds.

    Parameters
    ----------
    failures : sequence of (str, str)
        Path and reason.

    Returns
    -------
    list of dict
        "path" and "reason", each once.
    """
    return [{"path": path, "reason": reason} for path, reason in dict.fromkeys(failures)]
