"""What a scoring of masks leaves: tables, plots and sheets."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dilo.eval.saliency.metrics import NUMBERS, PREPARATION, benchmark_f
from dilo.eval.saliency.scoring import Score
from dilo.pipeline.common.tables import csv_text

if TYPE_CHECKING:  # an extra: who wants no plots needs none of it
    pass
from PIL import Image

from dilo.eval.common.pairing import Method, Photographs, PngFolder, _photograph
from dilo.eval.common.plots import blank, finish, line
from dilo.eval.common.sheets import chosen
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.images.sheets import Picture, sheet

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


def precision_recall_plot(scores: Sequence[Score], path: Path) -> None:
    """Draw mean precision against mean recall, with a dot where F is largest.

    Parameters
    ----------
    scores : sequence of Score
        One a method.
    path : Path
        The PNG to write.
    """
    figure, axes = blank("Recall, mean over images", "Precision, mean over images", len(scores))
    axes.set_xlim(0, 1)
    for place, score in enumerate(scores):
        best = int(benchmark_f(score).argmax())
        across, up = score.recall.mean(axis=0), score.precision.mean(axis=0)
        line(axes, across, up, best, place)
    finish(figure, _best_f(scores), "max F", path)


def f_threshold_plot(scores: Sequence[Score], path: Path) -> None:
    """Draw F of the mean curves against the threshold, with a dot where it is largest.

    Parameters
    ----------
    scores : sequence of Score
        One a method.
    path : Path
        The PNG to write.
    """
    figure, axes = blank(
        "Threshold, of masks stretched to 0..255",
        "F of mean precision and recall, β² = 0.3",
        len(scores),
    )
    axes.set_xlim(0, 255)
    axes.set_xticks([0, 51, 102, 153, 204, 255])
    for place, score in enumerate(scores):
        curve = benchmark_f(score)
        line(axes, np.arange(len(curve)), curve, int(curve.argmax()), place)
    finish(figure, _best_f(scores), "max F", path)


def _best_f(scores: Sequence[Score]) -> list[tuple[str, float]]:
    """Put each method's largest F before its name."""
    return [(score.name, float(benchmark_f(score).max())) for score in scores]


def ranked(score: Score) -> dict[str, list[int]]:
    """Choose the best, median and worst masks by weighted F, which needs no threshold.

    Parameters
    ----------
    score : Score
        What a method scores.

    Returns
    -------
    dict of str to list of int
        Rows of `score`: "best" from the best down, "median" about the middle, "worst"
        from the worst up.
    """
    return chosen(np.argsort(-score.weighted_f, kind="stable").tolist())


def example_sheet(
    score: Score, method: Method, truth: PngFolder, photographs: Photographs | None
) -> Image.Image:
    """Draw a method's best, median and worst masks beside truth and image.

    Parameters
    ----------
    score : Score
        What the method scores.
    method : Method
        Its masks.
    truth : PngFolder
        The ground truths.
    photographs : Photographs or None
        The images; without them the sheet shows truth and mask alone.

    Returns
    -------
    Image
        Three rows: best, median, worst.
    """
    return sheet(
        [
            [
                picture
                for position, row in enumerate(rows, start=1)
                for picture in _example(
                    score, row, f"{kind} {position}: ", method, truth, photographs
                )
            ]
            for kind, rows in ranked(score).items()
        ]
    )


def _example(
    score: Score,
    row: int,
    rank: str,
    method: Method,
    truth: PngFolder,
    photographs: Photographs | None,
) -> list[Picture]:
    """Make the cells of one image; the first carries its rank and name, the last its score."""
    image = score.images[row]
    name = rank + image.rpartition("/")[2]
    expected = truth.read_truth(image)
    white = expected.astype(np.uint8) * np.uint8(255)
    mask = stretch_mask(method.source.read(method.pairs[image]), expected.shape)
    numbers = f"weighted F {score.weighted_f[row]:.3f}, MAE {score.mae[row]:.3f}"
    if photographs is None:
        return [Picture(white, name), Picture(mask, numbers)]
    return [
        Picture(_photograph(photographs, image), name),
        Picture(white, "ground truth"),
        Picture(mask, numbers),
    ]
