"""Outcomes image by image: shares of right ones, how those of two networks differ, and records."""

import base64
import binascii
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilo.eval.common.intervals import Z, wilson
from dilo.eval.common.results import Evaluation
from dilo.eval.common.tables import text_table
from dilo.pipeline.images.names import escaped


@dataclass(frozen=True)
class Proportion:
    """A share of images, or a difference of two, in percent."""

    #: The share.
    value: float
    #: Its 95 % interval.
    low: float
    #: Its 95 % interval.
    high: float
    #: How many it is a share of.
    images: int


def proportion(hits: NDArray[np.bool_] | NDArray[np.float64]) -> Proportion | None:
    """Compute the share of hits with Wilson's interval; None of no images.

    Parameters
    ----------
    hits : ndarray of shape (M,), bool or float64
        Which images are hits; or of each image, the share of its questions that are. The interval
        is then that of a single question an image, which is wide enough.
    """
    if not (n := len(hits)):
        return None
    count = float(hits.sum())
    low, high = wilson(count, n)
    return Proportion(100 * count / n, low, high, n)


def mean_difference(differences: NDArray[np.float64]) -> Proportion:
    """Average differences, one an image, with the normal interval of their mean.

    Parameters
    ----------
    differences : ndarray of shape (M,), float64
        Of two outcomes of each image, 0 or 1, or of two such differences; at least one.

    Returns
    -------
    Proportion
        In points. Of two outcomes, zero outside its interval is what McNemar's test, without its
        correction for continuity, calls a difference at 5 %.

    References
    ----------
    .. [1] A. Agresti, "Categorical Data Analysis", 2nd edition, 2002, section 10.1: comparing
       dependent proportions.
    """
    mean, n = float(differences.mean()), len(differences)
    reach = Z * math.sqrt(float(differences.var()) / n)
    return Proportion(100 * mean, 100 * (mean - reach), 100 * (mean + reach), n)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Which of some images a network was right about."""

    #: Of these images, no others, in their order.
    digest: str
    #: Of shape (M,), bool.
    right: NDArray[np.bool_]

    def difference(self, other: "Outcomes") -> Proportion | None:
        """Compute how much more often this network is right; None where images differ."""
        if self.digest != other.digest or self.right.shape != other.right.shape:
            return None
        return mean_difference(self.right.astype(np.float64) - other.right.astype(np.float64))


def outcomes_record(
    digest: str, paths: Iterable[str], right: Mapping[str, NDArray[np.bool_]]
) -> dict[str, Any]:
    """Gather what a record keeps of outcomes: a bit an image.

    Parameters
    ----------
    digest : str
        Of the names and sizes of all files of the folder, as `inputs.listing` has it.
    paths : iterable of str
        The images of them that could be read.
    right : mapping of str to ndarray of shape (M,), bool
        Which of these a network was right about, by what it was asked.

    Returns
    -------
    dict
        The number of "images", their "digest", and "right": by what was asked, the bits in base64,
        the first image's being the highest of the first byte.
    """
    of_images = hashlib.sha256(digest.encode())
    for path in paths:
        of_images.update(f"\n{escaped(path)}".encode())
    return {
        "images": len(next(iter(right.values()))),
        "digest": of_images.hexdigest(),
        "right": {
            key: base64.b64encode(np.packbits(values).tobytes()).decode()
            for key, values in right.items()
        },
    }


def read_outcomes(record: Mapping[str, Any]) -> dict[str, Outcomes]:
    """Read the outcomes of a record by what was asked; of none, or of damaged ones, nothing."""
    outcomes = record.get("outcomes")
    if not isinstance(outcomes, Mapping) or not isinstance(outcomes.get("right"), Mapping):
        return {}
    images, digest = outcomes.get("images"), outcomes.get("digest")
    if type(images) is not int or not isinstance(digest, str):
        return {}
    values = {str(key): _bits(text, images) for key, text in outcomes["right"].items()}
    return {key: Outcomes(digest, right) for key, right in values.items() if right is not None}


def _bits(text: object, images: int) -> NDArray[np.bool_] | None:
    """Unpack a bit an image; None where there are more or fewer."""
    try:
        packed = base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except (binascii.Error, ValueError):
        return None
    if images < 1 or len(packed) != -(-images // 8):
        return None
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=images).astype(bool)


def paired_outcomes(records: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Compare each pair of records, by name, on the test images that both are of."""
    outcomes = {name: read_outcomes(record) for name, record in records.items()}
    pairs = []
    for (name, first), (other, second) in combinations(outcomes.items(), 2):
        differences = {key: first[key].difference(second[key]) for key in first if key in second}
        top1 = {key: vars(share) for key, share in differences.items() if share is not None}
        pairs.append({"first": name, "second": other, "top1": top1})
    return pairs


def compared(evaluations: Mapping[str, Evaluation], label: str) -> Evaluation:
    """Put evaluations of a task side by side, by the names of their checkpoints.

    One alone stays as it is. `label` names a number of the pairs by what was asked, "{key}".
    """
    if len(evaluations) == 1:
        return next(iter(evaluations.values()))
    records = {name: evaluation.record for name, evaluation in evaluations.items()}
    record = {"task": next(iter(records.values()))["task"], "checkpoints": records}
    record["pairs"] = paired_outcomes(records)
    lines: list[str] = []
    for name, evaluation in evaluations.items():
        lines += [f"{name}: {evaluation.record['checkpoint']}", *evaluation.table, ""]
    differences = {
        pair_name(pair): {label.format(key=key): share for key, share in pair["top1"].items()}
        for pair in record["pairs"]
    }
    labels = dict.fromkeys(name for numbers in differences.values() for name in numbers)
    return Evaluation(record, [*lines[:-1], *pair_table(differences, list(labels))])


def pair_table(
    pairs: Mapping[str, Mapping[str, Mapping[str, float]]], names: Sequence[str]
) -> list[str]:
    """Write the differences of each pair, a row a measure, in the order of `names`."""
    rows = [
        [name, *(interval_cell(d[name]) if name in d else "-" for d in pairs.values())]
        for name in names
        if any(name in differences for differences in pairs.values())
    ]
    if not rows:
        return []
    title = "differences on the same images, in points, with their paired 95 % intervals:"
    return ["", title, *text_table(["", *pairs], rows)]


def pair_name(pair: Mapping[str, Any]) -> str:
    """Name a difference."""
    return f"{pair['first']} less {pair['second']}"


def interval_cell(share: Mapping[str, float]) -> str:
    """Write a share or a difference with its interval."""
    return f"{share['value']:.1f} ({share['low']:.1f} to {share['high']:.1f})"
