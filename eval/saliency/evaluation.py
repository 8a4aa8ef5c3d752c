"""The whole of `dilo-eval saliency`: find, pair, score, write."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dilo.eval.common.inputs import data_name, masks_listing
from dilo.eval.common.metrics import definitions
from dilo.eval.common.pairing import MaskSource, PngFolder, find_images_of_truth, open_masks
from dilo.eval.common.results import Evaluation, Say, settled_folder, skipped_images, write_image
from dilo.eval.common.sheets import sheet_names
from dilo.eval.saliency import output as report
from dilo.eval.saliency.metrics import METRICS, PREPARATION
from dilo.eval.saliency.output import example_sheet, f_threshold_plot, precision_recall_plot
from dilo.eval.saliency.scoring import MethodScores, score
from dilo.pipeline.common.files import atomic_write, write_text
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import DiloError


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to score, and where to put it."""

    #: Name and folder of each method; names differ.
    masks: Sequence[tuple[str, Path]]
    #: Folder of the ground truths.
    truth: Path
    #: Folder of the results; made if it is missing.
    out: Path
    #: Folder of the images, for the sheets.
    images: Path | None
    #: Whether to score only the images that every method has a mask for.
    allow_missing: bool
    #: What to call the result; None for the name of the truth's folder.
    name: str | None = None
    #: Workers, as joblib counts them.
    jobs: int
    #: Whether to draw plots, which takes matplotlib.
    plots: bool


def evaluate(request: Request, say: Say) -> Evaluation:
    """Score masks against ground truth, and write tables, plots and sheets."""
    started = time.monotonic()
    truth = PngFolder(request.truth, "--truth", request.images)
    truths = list(truth.keys)
    methods = [open_masks(name, folder, truths) for name, folder in request.masks]
    photographs = find_images_of_truth(request.images, truths) if request.images else None
    images = common_images(methods, truth, allow_missing=request.allow_missing)
    odd = [line for source in (truth, *(m.source for m in methods)) for line in source.remarks()]
    for line in [*_counted(methods, truth, images), *odd]:
        say(line)
    with Progress(len(images), "images", say) as progress:
        scores = score(methods, truth, images, jobs=request.jobs, progress=progress.advance)
    record = _record(request, methods, truth, scores, started)
    for line in _notes(record):
        say(line)
    out = settled_folder(request.out, record, say, of_run=False)
    sheets = sheet_names([method.name for method in methods])
    for file, method, scored in zip(sheets, methods, scores, strict=True):
        write_image(out / file, example_sheet(scored, method, truth, photographs))
    _write(out, record, scores, plots=request.plots)
    say(f"{out}: table.txt has these numbers, saliency.json the curves, per-image.csv the images")
    return Evaluation(record, report.table(scores))


def common_images(
    methods: Sequence[MaskSource], truth: PngFolder, *, allow_missing: bool
) -> Sequence[str]:
    """Choose the images to score: the same for every method."""
    for method in methods:
        missing = [key for key in truth.keys if key not in method.pairs]
        if missing and not allow_missing:
            named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise DiloError(
                f"{method.source.folder} must have a mask for each of the {len(truth.keys)} ground "
                f"truths in {truth.folder}, got none for {len(missing)} ({named}): make them, or "
                "give --allow-missing to score only images that every method has a mask for"
            )
    images = [key for key in truth.keys if all(key in method.pairs for method in methods)]
    if not images:
        raise DiloError(
            f"--masks must share at least one image of --truth {truth.folder}, got "
            f"{len(methods)} folders without one in common: score them one at a time"
        )
    return images


def _counted(methods: Sequence[MaskSource], truth: PngFolder, images: Sequence[str]) -> list[str]:
    """Say how many masks there are, and what becomes of those that are too many or too few."""
    lines = []
    for method in methods:
        source, total = method.source, len(method.source.keys)
        line = f"{method.name}: {total} masks in {source.folder}"
        if extra := total - len(method.pairs):
            line += f", {extra} of them without a ground truth and not scored"
        lines.append(line)
        if missing := len(truth.keys) - len(method.pairs):
            lines.append(f"  no mask for {missing} of {len(truth.keys)} ground truths")
    if len(images) < len(truth.keys):
        lines.append(f"scored on the {len(images)} of {len(truth.keys)} images that all have")
    return lines


def _notes(record: dict[str, Any]) -> list[str]:
    """Say what a reader of the numbers should know."""
    lines = []
    for method in record["methods"]:
        if method["failed"]:
            lines.append(
                f"{method['method']}: {len(method['failed'])} masks are of images that could not "
                "be read; they are scored as they are, all zero"
            )
        if method["resized"]:
            lines.append(
                f"{method['method']}: {method['resized']} masks had another size than their "
                "ground truth and were resized to it"
            )
    if empty := record["empty_truths"]:
        lines.append(
            f"{empty} of {record['images']} ground truths are black: their F is 0 whatever the "
            "mask, and the means are lower by it; take them out if they are no truths"
        )
    return lines


def _record(
    request: Request,
    methods: Sequence[MaskSource],
    truth: PngFolder,
    scores: Sequence[MethodScores],
    started: float,
) -> dict[str, Any]:
    """Gather what saliency.json holds."""
    entries = []
    for method, scored in zip(methods, scores, strict=True):
        entries.append(
            {
                **report.score_record(scored),
                "masks": str(method.source.folder),
                "without_truth": len(method.source.keys) - len(method.pairs),
            }
        )
    versions = report.versions()
    if request.plots:
        versions["matplotlib"] = version("matplotlib")
    record = {
        "task": "saliency",
        "truth": str(request.truth),
        "inputs": {
            "truth": masks_listing(truth),
            "masks": [masks_listing(method.source) for method in methods],
            "images": str(request.images.resolve()) if request.images else None,
        },
        "images": len(scores[0].images),
        "truths": len(truth.keys),
        "skipped": skipped_images(
            (key, f"no mask of {method.name}")
            for key in truth.keys
            for method in methods
            if key not in method.pairs
        ),
        "empty_truths": int((scores[0].recall[:, 0] == 0).sum()),
        "conventions": definitions(METRICS, PREPARATION),
        "methods": entries,
        "seconds": round(time.monotonic() - started, 1),
        "versions": versions,
    }
    return {**record, "name": request.name or data_name(record["inputs"])}


def _write(
    out: Path, record: dict[str, Any], scores: Sequence[MethodScores], *, plots: bool
) -> None:
    """Write the files that are one for all methods."""
    lines = [f"{record['images']} images of {record['truth']}", "", *report.table(scores)]
    write_text(out / "table.txt", "".join(f"{line}\n" for line in lines))
    write_text(out / "per-image.csv", report.per_image(scores))
    for name, draw in (
        ("precision-recall.png", precision_recall_plot),
        ("f-threshold.png", f_threshold_plot),
    ):
        (out / name).unlink(missing_ok=True)  # of an earlier command with the same masks and truth
        if plots:
            with atomic_write(out / name) as part:
                draw(scores, part)
    write_text(out / "saliency.json", json.dumps(record) + "\n")
