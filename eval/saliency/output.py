"""What a scoring of masks leaves: tables, plots and sheets."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dilo.eval.common.metrics import metric_table, metric_values
from dilo.eval.common.pairing import ImagesOfTruth, MaskSource, PngFolder, read_or_blank
from dilo.eval.common.plots import draw_line, empty_axes, save_plot
from dilo.eval.common.sheets import best_median_worst
from dilo.eval.saliency.metrics import METRICS, PREPARATION, benchmark_f
from dilo.eval.saliency.scoring import MethodScores
from dilo.pipeline.common.tables import csv_text
from dilo.pipeline.images.names import short_names
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.images.sheets import Picture, sheet

PACKAGES = ("dilo", "numpy", "pillow", "scipy")


def table(scores: Sequence[MethodScores]) -> list[str]:
    """Write one row a method, and below it what each number is."""
    rows = {score.name: score for score in scores}
    return metric_table("method", rows, METRICS, PREPARATION, digits=4)


def score_record(score: MethodScores) -> dict[str, Any]:
    """Gather what the JSON says of a method."""
    curves = {
        "mean_precision": score.precision.mean(axis=0),
        "mean_recall": score.recall.mean(axis=0),
        "f_benchmark": benchmark_f(score),
        "f_per_image": score.f.mean(axis=0),
        "e_measure": score.e.mean(axis=0),
    }
    return {
        "method": score.name,
        "numbers": metric_values(METRICS, score),
        "failed": list(score.failed),
        "resized": score.resized,
        "curves": {name: curve.tolist() for name, curve in curves.items()},
    }


def versions() -> dict[str, str]:
    """Tell what computed."""
    return {name: version(name) for name in PACKAGES}


def per_image(scores: Sequence[MethodScores]) -> str:
    """Write one row for each image of each method."""
    heads: list[str] = []
    rows: list[list[object]] = []
    for score in scores:
        columns = {
            "max_f": score.f.max(axis=1),
            "mean_f": score.f.mean(axis=1),
            "adaptive_f": score.adaptive_f,
            "weighted_f": score.weighted_f,
            "iou": score.iou,
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


def precision_recall_plot(scores: Sequence[MethodScores], path: Path) -> None:
    """Draw mean precision against mean recall, with a dot where F is largest."""
    figure, axes = empty_axes(
        "Recall, mean over images", "Precision, mean over images", len(scores)
    )
    axes.set_xlim(0, 1)
    for place, score in enumerate(scores):
        best = int(benchmark_f(score).argmax())
        across, up = score.recall.mean(axis=0), score.precision.mean(axis=0)
        draw_line(axes, across, up, best, place)
    save_plot(figure, _best_f(scores), "max F", path)


def f_threshold_plot(scores: Sequence[MethodScores], path: Path) -> None:
    """Draw F of the mean curves against the threshold, with a dot where it is largest."""
    figure, axes = empty_axes(
        "Threshold, of masks stretched to 0..255",
        "F of mean precision and recall, β² = 0.3",
        len(scores),
    )
    axes.set_xlim(0, 255)
    axes.set_xticks([0, 51, 102, 153, 204, 255])
    for place, score in enumerate(scores):
        curve = benchmark_f(score)
        draw_line(axes, np.arange(len(curve)), curve, int(curve.argmax()), place)
    save_plot(figure, _best_f(scores), "max F", path)


def _best_f(scores: Sequence[MethodScores]) -> list[tuple[str, float]]:
    """Put each method's largest F before its name."""
    return [(score.name, float(benchmark_f(score).max())) for score in scores]


def ranked(score: MethodScores) -> dict[str, list[int]]:
    """Choose the best, median and worst masks by weighted F, which needs no threshold."""
    return best_median_worst(np.argsort(-score.weighted_f, kind="stable").tolist())


def example_sheet(
    score: MethodScores, method: MaskSource, truth: PngFolder, photographs: ImagesOfTruth | None
) -> Image.Image:
    """Draw a method's best, median and worst masks beside truth and image."""
    kinds = ranked(score)
    captions = short_names(score.images[row] for rows in kinds.values() for row in rows)
    lines = []
    for kind, rows in kinds.items():
        examples = [
            _example(
                score,
                row,
                f"{kind} {position}: {captions[score.images[row]]}",
                method,
                truth,
                photographs,
            )
            for position, row in enumerate(rows, start=1)
        ]
        lines.append([picture for example in examples for picture in example])
    return sheet(lines)


def _example(
    score: MethodScores,
    row: int,
    caption: str,
    method: MaskSource,
    truth: PngFolder,
    photographs: ImagesOfTruth | None,
) -> list[Picture]:
    """Make the cells of one image; the last has its score below."""
    image = score.images[row]
    expected = truth.read_truth(image)
    white = expected.astype(np.uint8) * np.uint8(255)
    mask = stretch_mask(method.source.read(method.pairs[image]), expected.shape)
    numbers = f"weighted F {score.weighted_f[row]:.3f}, MAE {score.mae[row]:.3f}"
    if photographs is None:
        return [Picture(white, caption), Picture(mask, numbers)]
    return [
        Picture(read_or_blank(photographs, image), caption),
        Picture(white, "ground truth"),
        Picture(mask, numbers),
    ]
