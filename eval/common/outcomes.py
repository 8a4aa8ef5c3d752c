"""Outcomes image by image: shares of right ones, and how those of two networks differ."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilo.eval.common.intervals import Z, wilson
from dilo.eval.common.tables import text_table


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
