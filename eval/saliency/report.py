"""Scores as text: the table, the JSON record, the CSV of images."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from dilo.eval.saliency.conventions import NUMBERS, PREPARATION, benchmark_f
from dilo.eval.saliency.score import Score
from dilo.pipeline.common.tables import csv_text

PACKAGES = ("dilo", "numpy", "pillow", "scipy")


def table(scores: Sequence[Score]) -> list[str]:
    """Write one row a method, and below it what each number is.

    Parameters
    ----------
    scores : sequence of Score
        One a method.

    Returns
    -------
    list of str
        Lines.
    """
    width = max(len("method"), *(len(score.name) for score in scores))
    heads = [f"{number.head:>{_width(number.head)}}" for number in NUMBERS]
    lines = ["  ".join([f"{'method':<{width}}", *heads])]
    for score in scores:
        cells = [f"{number.value(score):>{_width(number.head)}.4f}" for number in NUMBERS]
        lines.append("  ".join([f"{score.name:<{width}}", *cells]))
    lines.append("")
    lines += [f"{number.head:<12} {number.key}: {number.meaning}" for number in NUMBERS]
    return [*lines, f"all of them: {PREPARATION}"]


def _width(head: str) -> int:
    """Tell how wide a column is: at least 0.1234."""
    return max(len(head), 6)


def score_record(score: Score) -> dict[str, Any]:
    """Gather what the JSON says of a method.

    Parameters
    ----------
    score : Score
        What it scores.

    Returns
    -------
    dict
        The numbers by their keys, the curves by threshold, failures and resizings.
    """
    curves = {
        "mean_precision": score.precision.mean(axis=0),
        "mean_recall": score.recall.mean(axis=0),
        "f_benchmark": benchmark_f(score),
        "f_per_image": score.f.mean(axis=0),
        "e_measure": score.e.mean(axis=0),
    }
    return {
        "method": score.name,
        "numbers": {number.key: number.value(score) for number in NUMBERS},
        "failed": list(score.failed),
        "resized": score.resized,
        "curves": {name: curve.tolist() for name, curve in curves.items()},
    }


def conventions() -> dict[str, str]:
    """Say what each number is.

    Returns
    -------
    dict of str to str
        Meanings by key, and what holds for all under "all".
    """
    return {"all": PREPARATION, **{number.key: number.meaning for number in NUMBERS}}


def versions() -> dict[str, str]:
    """Tell what computed.

    Returns
    -------
    dict of str to str
        Versions by package.
    """
    return {name: version(name) for name in PACKAGES}


def per_image(scores: Sequence[Score]) -> str:
    """Write one row for each image of each method.

    Parameters
    ----------
    scores : sequence of Score
        One a method.

    Returns
    -------
    str
        CSV with a head; F and E are the image's own, at its own best threshold where
        the name says max.
    """
    heads: list[str] = []
    rows: list[list[object]] = []
    for score in scores:
        columns = {
            "max_f": score.f.max(axis=1),
            "mean_f": score.f.mean(axis=1),
            "adaptive_f": score.adaptive_f,
            "weighted_f": score.weighted_f,
            "mae": score.mae,
            "s_measure": score.s_measure,
            "e_measure_max": score.e.max(axis=1),
            "e_measure_mean": score.e.mean(axis=1),
            "e_measure_adaptive": score.adaptive_e,
        }
        heads = ["method", "image", *columns, "failed"]
        failed = set(score.failed)
        for image, values in zip(score.images, np.stack([*columns.values()], 1), strict=True):
            rows.append([score.name, image, *values.tolist(), image in failed])
    return csv_text(heads, rows, floats=".6f")
