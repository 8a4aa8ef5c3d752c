"""What a localisation leaves: record, tables, plots and sheets."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from dilo.eval.attribution.heatmaps import levels, normalized, overlay
from dilo.eval.common.boxdrawing import FOUND, TRUE, draw_boxes
from dilo.eval.common.inputs import data_name, keyed, keyed_images, masks_listing, selected
from dilo.eval.common.metrics import definitions, metric_table, metric_values
from dilo.eval.common.plots import draw_line, empty_axes, save_plot
from dilo.eval.common.results import provenance, skipped_images, write_image
from dilo.eval.common.sheets import EACH, best_median_worst, sheet_names
from dilo.eval.localize.ground_truth import Dataset, Sample
from dilo.eval.localize.measures import RIGHT_V2, map_box, pixel_ap, pixel_curve, tolerance_of
from dilo.eval.localize.metrics import (
    METRICS,
    PREPARATION,
    MethodResult,
    box_accuracies,
    box_threshold,
)
from dilo.eval.localize.networks import ClassifierMaps
from dilo.eval.localize.request import Request
from dilo.eval.localize.score import MethodScores, maps_of
from dilo.eval.localize.scoring import Scores, computed_maps
from dilo.pipeline.common.files import atomic_write, write_text
from dilo.pipeline.common.printing import counted
from dilo.pipeline.common.tables import csv_text
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import escaped, short_names
from dilo.pipeline.images.sheets import Picture, sheet

#: Images named one by one where people read.
NAMED = 10
#: Why an image is skipped that lacks what it would be scored by.
NO_PAIR = "no truth or no map"


def record_of(
    request: Request,
    dataset: Dataset,
    rows: Sequence[MethodResult],
    scores: Scores,
    missing: Sequence[str],
    started: float,
) -> dict[str, Any]:
    """Gather what localize.json holds."""
    sources = {(row.checkpoint, row.step) for row in rows if row.rule}
    checkpoint, step = sources.pop() if len(sources) == 1 else (None, None)
    info = provenance(started)
    for package in ("opencv-python-headless", *(("matplotlib",) if request.plots else ())):
        info["versions"][package] = version(package)
    record = {
        "task": "localize",
        "checkpoint": checkpoint,
        "step": step,
        "size": dataset.size,
        "pointing_tolerance": tolerance_of(dataset.size),
        "image_folder": str(request.folder),
        "inputs": {
            "images": keyed_images(dataset.photographs.images, dataset.files.values())
            | selected(request.selection.options()),
            "truth": keyed(dataset.truth.path, dataset.truth.keys),
            "maps": [masks_listing(method.source) for method in dataset.methods],
        },
        "images": len(scores.keys),
        "truth": str(dataset.truth.path),
        "truth_kind": "masks" if dataset.truth.by_pixel else "boxes",
        "truths_without_image": len(dataset.truth.keys) - len(dataset.files),
        "skipped": skipped_images([*((path, NO_PAIR) for path in missing), *scores.skipped]),
        "methods": [row_record(row) for row in rows],
        "conventions": definitions(METRICS, PREPARATION),
        **info,
    }
    return {**record, "name": request.name or data_name(record["inputs"])}


def notes(record: dict[str, Any]) -> list[str]:
    """Say what a reader of the numbers should know."""
    lines = []
    if count := record["truths_without_image"]:
        lines.append(f"{counted(count, 'truth is', 'truths are')} of no image, and not used")
    unpaired = [image for image in record["skipped"] if image["reason"] == NO_PAIR]
    if unpaired:
        lines.append(f"{counted(len(unpaired), 'image is', 'images are')} skipped: {NO_PAIR}")
    if damaged := [image for image in record["skipped"] if image["reason"] != NO_PAIR]:
        lines.append(f"{counted(len(damaged), 'image is', 'images are')} skipped:")
        lines += [f"  {image['path']}: {image['reason']}" for image in damaged[:NAMED]]
        if len(damaged) > NAMED:
            lines.append(f"  and {len(damaged) - NAMED} more; localize.json names all")
    for row in record["methods"]:
        if count := row["constant_maps"]:
            have = counted(count, "map has", "maps have")
            lines.append(
                f"{row['name']}: {have} one value alone, or one that is not finite, which counts "
                "as zero everywhere"
            )
    return lines


def write_texts(
    request: Request,
    dataset: Dataset,
    rows: Sequence[MethodResult],
    scores: Scores,
) -> None:
    """Write the files that are one for all maps: table, images, plot."""
    out = request.out
    out.mkdir(parents=True, exist_ok=True)
    head = f"{len(scores.keys)} images of {request.folder}, {dataset.size} px, against"
    lines = [f"{head} {dataset.truth.where}", "", *table(rows)]
    write_text(out / "table.txt", "".join(f"{line}\n" for line in lines))
    images = [escaped(dataset.files[key]) for key in scores.keys]
    write_text(out / "per-image.csv", per_image(rows, images))
    plot = out / "pixel-precision-recall.png"
    plot.unlink(missing_ok=True)  # of an earlier command with the same images and settings
    if request.plots and dataset.truth.by_pixel:
        with atomic_write(plot) as part:
            pixel_plot(rows, part)


def remove_sheets(out: Path, rows: Sequence[MethodResult]) -> None:
    """Remove the sheets of an earlier command with the same images and settings."""
    for file in sheet_names([row.name for row in rows]):
        (out / file).unlink(missing_ok=True)


def write_sheets(
    out: Path,
    dataset: Dataset,
    networks: Sequence[ClassifierMaps],
    rows: Sequence[MethodResult],
    scores: Scores,
) -> None:
    """Draw a sheet of each kind of maps but the baselines."""
    files = sheet_names([row.name for row in rows])
    for place, (file, row) in enumerate(zip(files, rows, strict=True)):
        if row.baseline:
            continue
        ranks = [
            (f"{kind} {number}", image)
            for kind, images in best_median_worst(row.score.order()).items()
            for number, image in enumerate(images, start=1)
        ]
        read = [dataset.read(scores.keys[image]) for _, image in ranks]
        samples = [sample for sample in read if isinstance(sample, Sample)]
        if len(samples) < len(ranks):
            raise DiloError(
                f"--images {dataset.folder} must stay as it is until all is written, but it "
                "changed: score again"
            )
        computed = computed_maps(networks, samples)
        maps = [maps_of(*pair)[place] for pair in zip(samples, computed, strict=True)]
        across = min(EACH, len(scores.keys))
        write_image(out / file, example_sheet(row.score, ranks, samples, maps, across=across))


def pixel_plot(rows: Sequence[MethodResult], path: Path) -> None:
    """Draw pixel precision against pixel recall, with a dot where their F is largest."""
    figure, axes = empty_axes("Recall of pixels", "Precision of pixels", len(rows))
    axes.set_xlim(0, 1)
    for place, row in enumerate(rows):
        precision, recall = pixel_curve(row.score.pixels)
        shown = slice(int((recall > 0).argmax()), None)  # nothing is found before
        up, across = precision[shown], recall[shown]
        draw_line(axes, across, up, int((up * across / (up + across)).argmax()), place)
    save_plot(figure, [(row.name, pixel_ap(row.score.pixels)) for row in rows], "PxAP", path)


def table(rows: Sequence[MethodResult]) -> list[str]:
    """Write one row a kind of maps, baselines last, and below what each number is."""
    by_name = {row.name: row for row in rows}
    return metric_table("map", by_name, METRICS, PREPARATION, digits=1)


def row_record(row: MethodResult) -> dict[str, Any]:
    """Gather what the JSON says of a kind of maps."""
    accuracies = box_accuracies(row.score)[1:]
    return {
        "name": row.name,
        "method": row.method,
        "baseline": row.baseline,
        "checkpoint": row.checkpoint,
        "step": row.step,
        "class": row.rule,
        "numbers": metric_values(METRICS, row),
        "max_box_acc_threshold": box_threshold(row.score),
        "max_box_acc_v2_by_overlap": dict(zip(map(str, RIGHT_V2), accuracies, strict=True)),
        "constant_maps": sum(row.score.constant),
    }


def per_image(rows: Sequence[MethodResult], images: Sequence[str]) -> str:
    """Write one row for each image of each kind of maps."""
    head = ("map", "image", "class", "predicted", "energy", "pointing", "iou", "constant")
    lines: list[tuple[object, ...]] = []
    for row in rows:
        score, nothing = row.score, [""] * len(images)
        columns = (
            images,
            row.classes or nothing,
            score.predicted or nothing,
            map(float, score.energy),
            map(float, score.pointing),
            map(float, score.overlap),
            map(int, score.constant),
        )
        lines += [(row.name, *cells) for cells in zip(*columns, strict=True)]
    return csv_text(head, lines, floats=".6f")


CELL = 200


def example_sheet(
    score: MethodScores,
    ranks: Sequence[tuple[str, int]],
    samples: Sequence[Sample],
    maps: Sequence[NDArray[np.generic]],
    *,
    across: int,
) -> Image.Image:
    """Draw images with the outline of the truth and the map's box, each beside its map.

    Parameters
    ----------
    score : MethodScores
        What the maps score.
    ranks : sequence of (str, int)
        Of each image to draw: what to call it, and its place in `score`.
    samples : sequence of Sample
        These images.
    maps : sequence of ndarray of shape (S, S)
        Their maps.
    across : int
        Images in one row.

    Returns
    -------
    Image
        Two cells an image: truth in green, the box in orange; the map over the gray image.
    """
    captions = short_names(sample.path for sample in samples)
    cells = [
        _cells(score, row, f"{rank}: {captions[sample.path]}", sample, saliency)
        for (rank, row), sample, saliency in zip(ranks, samples, maps, strict=True)
    ]
    lines = [cells[start : start + across] for start in range(0, len(cells), across)]
    return sheet([[cell for pair in line for cell in pair] for line in lines], cell=CELL)


def _cells(
    score: MethodScores, row: int, caption: str, sample: Sample, saliency: NDArray[np.generic]
) -> list[Picture]:
    """Make the two cells of an image."""
    stretched = normalized(saliency)
    box = map_box(stretched)
    image = _in_proportion(sample.image, sample)
    numbers = f"IoU {score.overlap[row]:.2f}, energy {score.energy[row]:.0%}"
    outlined = image.copy()
    mask = _in_proportion(sample.objects.mask.astype(np.uint8) * np.uint8(255), sample) > 127
    outlined[mask & ~binary_erosion(mask, iterations=2)] = TRUE
    heat = overlay(_in_proportion(levels(stretched), sample).astype(np.float32), image)
    # The last column and row belong to a box.
    sides = (box + np.array([0, 0, 1, 1])) / len(sample.image)
    pictures = [Image.fromarray(pixels) for pixels in (outlined, heat)]
    for picture in pictures:
        draw_boxes(picture, sides, FOUND)
    texts = (caption, numbers)
    return [Picture(np.asarray(p), text) for p, text in zip(pictures, texts, strict=True)]


def _in_proportion(square: NDArray[np.uint8], sample: Sample) -> NDArray[np.uint8]:
    """Undo the squashing, at the size of a cell, so that lines are drawn as they are seen."""
    height, width = sample.shape
    scale = CELL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.array(Image.fromarray(square).resize(size, Image.Resampling.BILINEAR))
