"""What a scoring leaves behind: the record, the table, the images' numbers, a plot and sheets."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from dilo.eval.inputs import keyed, masks_listing
from dilo.eval.localization import report
from dilo.eval.localization.conventions import Row
from dilo.eval.localization.examples import Collection, Example
from dilo.eval.localization.measures import tolerance_of
from dilo.eval.localization.networks import Network
from dilo.eval.localization.plots import pixel_plot
from dilo.eval.localization.request import Request
from dilo.eval.localization.score import maps_of
from dilo.eval.localization.scoring import Scores, computed_maps
from dilo.eval.localization.sheet import example_sheet
from dilo.eval.results import provenance
from dilo.eval.saliency.evaluation import sheet_names
from dilo.eval.saliency.examples import EACH, chosen
from dilo.pipeline.common.files import atomic_write, write_text
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import escaped

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
