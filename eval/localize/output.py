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
from dilo.eval.common.inputs import keyed, masks_listing
from dilo.eval.common.plots import blank, finish, line
from dilo.eval.common.results import provenance
from dilo.eval.common.sheets import EACH, chosen, sheet_names
from dilo.eval.localize import output as report
from dilo.eval.localize.boxes import Boxes
from dilo.eval.localize.ground_truth import Collection, Example
from dilo.eval.localize.measures import RIGHT_V2, map_box, pixel_ap, pixel_curve, tolerance_of
from dilo.eval.localize.metrics import NUMBERS, PREPARATION, Row, box_accuracies, box_threshold
from dilo.eval.localize.networks import Network
from dilo.eval.localize.request import Request
from dilo.eval.localize.scoring import Score, Scores, computed_maps, maps_of
from dilo.pipeline.common.files import atomic_write, write_text
from dilo.pipeline.common.tables import csv_text
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.sheets import Picture, sheet

#: Images named one by one where people read.
NAMED = 10


def record_of(
    request: Request,
    collection: Collection,
    rows: Sequence[Row],
    scores: Scores,
    missing: Sequence[str],
    started: float,
) -> dict[str, Any]:
    """Gather what localize.json holds.

    Parameters
    ----------
    request : Request
        What was asked for.
    collection : Collection
        The images, their truth, and maps of them.
    rows : sequence of Row
        What was scored.
    scores : Scores
        On which images.
    missing : sequence of str
        Images without truth or map.
    started : float
        When it was begun, by `time.monotonic`.

    Returns
    -------
    dict
        For `write_result`.
    """
    sources = {(row.checkpoint, row.step) for row in rows if row.rule}
    checkpoint, step = sources.pop() if len(sources) == 1 else (None, None)
    told = provenance(started)
    for package in ("opencv-python-headless", *(("matplotlib",) if request.plots else ())):
        told["versions"][package] = version(package)
    return {
        "task": "localize",
        "checkpoint": checkpoint,
        "step": step,
        "size": collection.size,
        "pointing_tolerance": tolerance_of(collection.size),
        "image_folder": str(request.images),
        "inputs": {
            "images": keyed(request.images, collection.files.values()),
            "truth": keyed(collection.truth.path, collection.truth.keys),
            "maps": [masks_listing(method.source) for method in collection.methods],
        },
        "images": len(scores.keys),
        "truth": str(collection.truth.path),
        "truth_kind": "masks" if collection.truth.by_pixel else "boxes",
        "truths_without_image": len(collection.truth.keys) - len(collection.files),
        "missing": list(missing),
        "left_out": [{"path": path, "reason": reason} for path, reason in scores.left_out],
        "methods": [report.row_record(row) for row in rows],
        "conventions": report.conventions(),
        **told,
    }


def notes(record: dict[str, Any]) -> list[str]:
    """Say what a reader of the numbers should know.

    Parameters
    ----------
    record : dict
        What `record_of` gathered.

    Returns
    -------
    list of str
        Lines; none where all is as it should be.
    """
    lines = []
    if count := record["truths_without_image"]:
        lines.append(f"{count} truths are of no image, and not used")
    if missing := record["missing"]:
        lines.append(f"{len(missing)} images have no truth or no map, and are not scored")
    if left_out := record["left_out"]:
        lines.append(f"{len(left_out)} images cannot be scored and are left out:")
        lines += [f"  {image['path']}: {image['reason']}" for image in left_out[:NAMED]]
        if len(left_out) > NAMED:
            lines.append(f"  and {len(left_out) - NAMED} more; localize.json names all")
    for row in record["methods"]:
        if blank := row["blank_maps"]:
            lines.append(
                f"{row['name']}: {blank} maps have one value alone, or one that is not finite; "
                "they count as zero everywhere"
            )
    return lines


def write_texts(
    request: Request,
    collection: Collection,
    rows: Sequence[Row],
    scores: Scores,
) -> None:
    """Write the files that are one for all maps: table, images, plot.

    Parameters
    ----------
    request : Request
        What was asked for.
    collection : Collection
        The images, their truth, and maps of them.
    rows : sequence of Row
        What was scored.
    scores : Scores
        On which images.
    """
    out = request.out
    out.mkdir(parents=True, exist_ok=True)
    head = f"{len(scores.keys)} images of {request.images}, {collection.size} px, against"
    lines = [f"{head} {collection.truth.where}", "", *report.table(rows)]
    write_text(out / "table.txt", "".join(f"{line}\n" for line in lines))
    images = [escaped(collection.files[key]) for key in scores.keys]
    write_text(out / "per-image.csv", report.per_image(rows, images))
    plot = out / "pixel-precision-recall.png"
    plot.unlink(missing_ok=True)  # of an earlier command with the same images and settings
    if request.plots and collection.truth.by_pixel:
        with atomic_write(plot) as part:
            pixel_plot(rows, part)


def remove_sheets(out: Path, rows: Sequence[Row]) -> None:
    """Remove the sheets of an earlier command with the same images and settings.

    Parameters
    ----------
    out : Path
        Folder of the sheets.
    rows : sequence of Row
        What was scored.
    """
    for file in sheet_names([row.name for row in rows]):
        (out / file).unlink(missing_ok=True)


def write_sheets(
    out: Path,
    collection: Collection,
    networks: Sequence[Network],
    rows: Sequence[Row],
    scores: Scores,
) -> None:
    """Draw a sheet of each kind of maps but the floors.

    Parameters
    ----------
    out : Path
        Folder for the sheets.
    collection : Collection
        The images, their truth, and maps of them.
    networks : sequence of Network
        What made the other maps, and makes them again.
    rows : sequence of Row
        What was scored.
    scores : Scores
        On which images.

    Raises
    ------
    DiloError
        If an image can no longer be read.
    """
    files = sheet_names([row.name for row in rows])
    for place, (file, row) in enumerate(zip(files, rows, strict=True)):
        if row.floor:
            continue
        ranks = [
            (f"{kind} {number}", image)
            for kind, images in chosen(row.score.order()).items()
            for number, image in enumerate(images, start=1)
        ]
        read = [collection.read(scores.keys[image]) for _, image in ranks]
        examples = [example for example in read if isinstance(example, Example)]
        if len(examples) < len(ranks):
            raise DiloError(
                f"--images {collection.folder} must stay as it is until all is written, but it "
                "changed: score again"
            )
        computed = computed_maps(networks, examples)
        maps = [maps_of(*pair)[place] for pair in zip(examples, computed, strict=True)]
        across = min(EACH, len(scores.keys))
        _save(out / file, example_sheet(row.score, ranks, examples, maps, across=across))


def _save(path: Path, picture: Image.Image) -> None:
    """Write a picture, whole or not at all."""
    with atomic_write(path) as part:
        picture.save(part, format="PNG")


def pixel_plot(rows: Sequence[Row], path: Path) -> None:
    """Draw pixel precision against pixel recall, with a dot where their F is largest.

    Parameters
    ----------
    rows : sequence of Row
        The kinds of maps.
    path : Path
        The PNG to write.
    """
    figure, axes = blank("Recall of pixels", "Precision of pixels", len(rows))
    axes.set_xlim(0, 1)
    for place, row in enumerate(rows):
        precision, recall = pixel_curve(row.score.pixels)
        shown = slice(int((recall > 0).argmax()), None)  # nothing is found before
        up, across = precision[shown], recall[shown]
        line(axes, across, up, int((up * across / (up + across)).argmax()), place)
    finish(figure, [(row.name, pixel_ap(row.score.pixels)) for row in rows], "PxAP", path)


def table(rows: Sequence[Row]) -> list[str]:
    """Write one row a kind of maps, floors last, and below what each number is.

    Parameters
    ----------
    rows : sequence of Row
        The kinds of maps.

    Returns
    -------
    list of str
        Lines; a column that no row has a number for is left out.
    """
    width = max(len("map"), *(len(row.name) for row in rows))
    all_columns = [(number, [number.value(row) for row in rows]) for number in NUMBERS]
    columns = [
        (number, values)
        for number, values in all_columns
        if any(value is not None for value in values)
    ]
    heads = [f"{number.head:>{_width(number.head)}}" for number, _ in columns]
    lines = ["  ".join([f"{'map':<{width}}", *heads])]
    for place, row in enumerate(rows):
        cells = [f"{_cell(values[place]):>{_width(number.head)}}" for number, values in columns]
        lines.append("  ".join([f"{row.name:<{width}}", *cells]))
    lines.append("")
    lines += [f"{number.head:<12} {number.key}: {number.meaning}" for number, _ in columns]
    return [*lines, f"all of them: {PREPARATION}"]


def _width(head: str) -> int:
    """Tell how wide a column is: at least 100.0."""
    return max(len(head), 5)


def _cell(value: float | None) -> str:
    """Write a number, or that there is none."""
    return "-" if value is None else f"{value:.1f}"


def row_record(row: Row) -> dict[str, Any]:
    """Gather what the JSON says of a kind of maps.

    Parameters
    ----------
    row : Row
        The maps.

    Returns
    -------
    dict
        Where they come from, the numbers by their keys, and what lies behind them.
    """
    accuracies = box_accuracies(row.score)[1:]
    return {
        "name": row.name,
        "method": row.method,
        "floor": row.floor,
        "checkpoint": row.checkpoint,
        "step": row.step,
        "class": row.rule,
        "numbers": {number.key: number.value(row) for number in NUMBERS},
        "max_box_acc_threshold": box_threshold(row.score),
        "max_box_acc_v2_by_overlap": dict(zip(map(str, RIGHT_V2), accuracies, strict=True)),
        "blank_maps": sum(row.score.blank),
    }


def conventions() -> dict[str, str]:
    """Say what each number is.

    Returns
    -------
    dict of str to str
        Meanings by key, and what holds for all under "all".
    """
    return {"all": PREPARATION, **{number.key: number.meaning for number in NUMBERS}}


def per_image(rows: Sequence[Row], images: Sequence[str]) -> str:
    """Write one row for each image of each kind of maps.

    Parameters
    ----------
    rows : sequence of Row
        The kinds of maps.
    images : sequence of str
        The images, as a line holds them.

    Returns
    -------
    str
        CSV with a head; shares from 0 to 1.
    """
    head = ("map", "image", "class", "predicted", "energy", "pointing", "iou", "blank")
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
            map(int, score.blank),
        )
        lines += [(row.name, *cells) for cells in zip(*columns, strict=True)]
    return csv_text(head, lines, floats=".6f")


CELL = 200


#: Okabe and Ito's green and orange on a photograph: what is true, and what the map says.
TRUE = (0, 255, 160)


FOUND = (255, 120, 0)


def example_sheet(
    score: Score,
    ranks: Sequence[tuple[str, int]],
    examples: Sequence[Example],
    maps: Sequence[NDArray[np.generic]],
    *,
    across: int,
) -> Image.Image:
    """Draw images with the outline of the truth and the map's box, each beside its map.

    Parameters
    ----------
    score : Score
        What the maps score.
    ranks : sequence of (str, int)
        Of each image to draw: what to call it, and its place in `score`.
    examples : sequence of Example
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
    cells = [
        _cells(score, row, rank, example, saliency)
        for (rank, row), example, saliency in zip(ranks, examples, maps, strict=True)
    ]
    lines = [cells[start : start + across] for start in range(0, len(cells), across)]
    return sheet([[cell for pair in line for cell in pair] for line in lines], cell=CELL)


def _cells(
    score: Score, row: int, rank: str, example: Example, saliency: NDArray[np.generic]
) -> list[Picture]:
    """Make the two cells of an image."""
    stretched = normalized(saliency)
    box = map_box(stretched)
    image = _in_proportion(example.image, example)
    name = example.path.rpartition("/")[2]
    numbers = f"IoU {score.overlap[row]:.2f}, energy {score.energy[row]:.0%}"
    outlined = image.copy()
    mask = _in_proportion(example.objects.mask.astype(np.uint8) * np.uint8(255), example) > 127
    outlined[mask & ~binary_erosion(mask, iterations=2)] = TRUE
    heat = overlay(_in_proportion(levels(stretched), example).astype(np.float32), image)
    for picture in (outlined, heat):
        _draw(picture, box, len(example.image))
    return [Picture(outlined, f"{rank}: {name}"), Picture(heat, numbers)]


def _in_proportion(square: NDArray[np.uint8], example: Example) -> NDArray[np.uint8]:
    """Undo the squashing, at the size of a cell, so that lines are drawn as they are seen."""
    height, width = example.shape
    scale = CELL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.array(Image.fromarray(square).resize(size, Image.Resampling.BILINEAR))


def _draw(picture: NDArray[np.uint8], boxes: Boxes, size: int) -> None:
    """Draw boxes of a square of some size on a picture, in place."""
    height, width = picture.shape[:2]
    for left, top, right, bottom in boxes.tolist():
        x0, x1 = round(left * width / size), round((right + 1) * width / size) - 1
        y0, y1 = round(top * height / size), round((bottom + 1) * height / size) - 1
        frame = np.zeros((height, width), bool)
        frame[y0 : y1 + 1, x0 : x1 + 1] = True
        frame[y0 + 2 : y1 - 1, x0 + 2 : x1 - 1] = False
        picture[frame] = FOUND
