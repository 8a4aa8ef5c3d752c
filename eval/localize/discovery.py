"""The whole of `dilo-eval localize --discovery`: one box an image, by the rule of LOST."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.eval.common.boxdrawing import FOUND, TRUE, draw_boxes
from dilo.eval.common.inputs import data_name, keyed, keyed_images, masks_listing, selected
from dilo.eval.common.machine import Machine
from dilo.eval.common.metrics import Metric, definitions, metric_table, metric_values
from dilo.eval.common.overlaps import overlaps
from dilo.eval.common.pairing import ImagesOfTruth, MaskSource, find_images_of_truth, open_masks
from dilo.eval.common.results import (
    Evaluation,
    Say,
    provenance,
    say_skipped,
    settled_folder,
    skipped_images,
    write_image,
    write_result,
)
from dilo.eval.common.sheets import best_median_worst, sheet_names
from dilo.eval.localize.annotations import Annotation, read_annotations
from dilo.eval.localize.boxes import largest_component
from dilo.eval.localize.lost import dilate, feature_box
from dilo.eval.localize.measures import RIGHT
from dilo.eval.models.encoder import Encoder, load_encoder
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.common.tables import csv_text
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images.names import escaped, short_names
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.images.sheets import Picture, fit, sheet
from dilo.pipeline.masks.files import same_proportions

#: A mask's pixels are the object's above this value.
ABOVE = 128
#: Images that are read ahead.
AHEAD = 16
#: Side of a picture of a sheet, in pixels.
CELL = 240
#: Four sides of a box: x0, y0, x1, y1 in pixels of the image, from its upper left corner.
Sides = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DiscoveryRequest:
    """What to look for objects with, and where."""

    #: Name and file, or run, of each network; names differ.
    checkpoints: Sequence[tuple[str, Path]]
    #: Name and folder of masks.
    maps: Sequence[tuple[str, Path]]
    #: The images: a folder, or some of its images.
    images: Path | ImageSelection
    #: XML, CSV or JSON.
    boxes: Path
    #: Whether to leave out objects that are difficult or truncated.
    no_hard: bool
    #: Whether to skip images without a file or a mask.
    allow_missing: bool
    #: Whether to draw sheets.
    sheets: bool
    #: Folder of the results; made if it is missing.
    out: Path
    #: Whether nobody named it, and it is in the folder of a run.
    of_run: bool
    #: What to call the result; None for the name of the images' folder.
    name: str | None
    machine: Machine

    @property
    def selection(self) -> ImageSelection:
        """Return which images are searched."""
        return ImageSelection.of(self.images)


@dataclass(eq=False)
class Finder:
    """What gives one box an image, and what it scored."""

    #: What the table calls it.
    name: str
    #: "masks", "features", or "baseline".
    method: str
    #: From the key of an image and its pixels to the box; None where it finds nothing.
    box: Callable[[str, NDArray[np.uint8]], Sides | None]
    #: File of the network, or folder of the masks.
    source: Path | None = None
    step: int | None = None
    #: By image: the largest overlap with any object.
    overlaps: list[float] = field(default_factory=list)
    #: By image; NaN without one.
    boxes: list[Sides] = field(default_factory=list)


METRICS: tuple[Metric[Finder], ...] = (
    Metric(
        "corloc",
        "CorLoc",
        f"images whose one box overlaps that of any object, of whatever class, by {RIGHT:g} or "
        "more (Simeoni et al. 2021)",
        lambda finder: 100 * float(np.mean(np.array(finder.overlaps) >= RIGHT)),
    ),
    Metric(
        "overlap",
        "mean IoU",
        "mean over images of that overlap",
        lambda finder: 100 * float(np.mean(finder.overlaps)),
    ),
)
#: What holds for both.
PREPARATION = (
    "per cent; images at their own size; of masks the box around the largest component above "
    f"{ABOVE}, of features that of LOST; true boxes from xmin - 1, ymin - 1 to xmax, ymax"
)


def evaluate_discovery(request: DiscoveryRequest, say: Say) -> Evaluation:
    """Find one object an image by each way, compare with the boxes, and write the result."""
    started = time.monotonic()
    truth = read_annotations(request.boxes)
    photographs = find_images_of_truth(
        request.selection, list(truth), of=f"--boxes {request.boxes}"
    )
    _require_boxes(request, photographs)
    keys = [*photographs.files] if request.selection.is_narrowed else [*truth]
    masks = [open_masks(*one, keys, option="--maps", of="--boxes") for one in request.maps]
    keys, missing = _complete(request, keys, photographs, masks)
    finders = [*_networks(request), *map(_of_masks, masks), *_baselines()]
    say(f"{photographs.images.path}: {len(keys)} images, one box of each, against {request.boxes}")
    with Progress(len(keys), "images", say) as progress:
        scored, skipped = _score(request, photographs, truth, keys, finders, progress.advance)
    skipped = [*((key, "no image or no mask") for key in missing), *skipped]
    say_skipped(skipped, say, "of the images cannot be scored", "discovery.json")
    record = _record(request, scored, photographs, masks, finders, skipped, started)
    table = metric_table("found by", {f.name: f for f in finders}, METRICS, PREPARATION, digits=1)
    out = settled_folder(request.out, record, say, of_run=request.of_run)
    _write_texts(out, request, scored, photographs, finders, table)
    for file, finder in zip(sheet_names([f.name for f in finders]), finders, strict=True):
        (out / file).unlink(missing_ok=True)
        if request.sheets and finder.method != "baseline":
            write_image(out / file, _sheet(finder, request, photographs, truth, scored))
    write_result(out, record)  # last: it says that all the others are there
    say(f"{out}: table.txt has these numbers, discovery.json more, per-image.csv the boxes")
    return Evaluation(record, table)


def true_sides(annotation: Annotation, shape: tuple[int, int], *, no_hard: bool = False) -> Sides:
    """Give the sides of the objects of an image.

    Parameters
    ----------
    annotation : Annotation
        As it was read.
    shape : (int, int)
        Height and width of the image, which may be a smaller copy of the annotated one.
    no_hard : bool, default False
        Whether to leave out those that are difficult or truncated.

    Returns
    -------
    ndarray of shape (N, 4), float64
        In pixels of the image, from its upper left corner: of VOC xmin - 1, ymin - 1, xmax, ymax.
    """
    boxes = np.array(annotation.boxes, np.float64).reshape(-1, 4) - annotation.first
    boxes[:, 2:] += 1
    width, height = annotation.size_for(shape)
    hard = np.array(annotation.hard, bool) if annotation.hard else np.zeros(len(boxes), bool)
    scale = np.array([shape[1] / width, shape[0] / height] * 2)
    sides: Sides = boxes[~(hard & no_hard)] * scale
    return sides


def _require_boxes(request: DiscoveryRequest, photographs: ImagesOfTruth) -> None:
    """Refuse a list that names images without boxes, unless they may be missing."""
    if request.selection.list_file is None or request.allow_missing:
        return
    boxed = set(photographs.files.values())
    if unboxed := [name for name in request.selection.names() if name not in boxed]:
        raise DiloError(
            f"--list {request.selection.list_file} must name images that have boxes, got "
            f"{len(unboxed)} without, such as {escaped(unboxed[0])}: remove them, or give "
            "--allow-missing"
        )


def _complete(
    request: DiscoveryRequest,
    keys: Sequence[str],
    photographs: ImagesOfTruth,
    masks: Sequence[MaskSource],
) -> tuple[list[str], list[str]]:
    """Choose the images that have a file and every mask; name the others, if there may be any."""
    complete = [
        key for key in keys if key in photographs.files and all(key in mask.pairs for mask in masks)
    ]
    missing = sorted(set(keys) - set(complete))
    if missing and not request.allow_missing:
        raise DiloError(
            f"each image of --boxes {request.boxes} must be in --images {request.selection.root} "
            f"and have its mask, got {len(missing)} without ({missing[0]}): add what is missing, "
            "give --list with the images to take, or --allow-missing"
        )
    if not complete:
        raise DiloError(
            f"--boxes {request.boxes} must be of at least one image in --images "
            f"{request.selection.root} that has its mask in each of --maps, got none of "
            f"{len(missing)}: check that they are of the same images"
        )
    return complete, missing


def _networks(request: DiscoveryRequest) -> list[Finder]:
    """Load the networks whose features find objects."""
    finders = []
    for name, path in request.checkpoints:
        encoder = load_encoder(path, arch=request.machine.arch)
        dilate(encoder.network)
        encoder.network.to(request.machine.choose()[0])
        finders.append(Finder(name, "features", _by(encoder), encoder.source, encoder.step))
    return finders


def _by(encoder: Encoder) -> Callable[[str, NDArray[np.uint8]], Sides]:
    """Find boxes by the features of a network."""
    return lambda key, image: feature_box(encoder, image)


def _of_masks(masks: MaskSource) -> Finder:
    """Find boxes by masks."""

    def box(key: str, image: NDArray[np.uint8]) -> Sides | None:
        mask = masks.source.read(masks.pairs[key])
        if not same_proportions(mask.shape, image.shape[:2]):
            raise DiloError(
                f"its mask in {masks.source.folder} must have the image's proportions, "
                f"{image.shape[1]} x {image.shape[0]}, or be square, got {mask.shape[1]} x "
                f"{mask.shape[0]}"
            )
        pixels = largest_component(mask > ABOVE).astype(np.float64)
        scale = np.array([image.shape[1] / mask.shape[1], image.shape[0] / mask.shape[0]] * 2)
        return (pixels[0] + (0, 0, 1, 1)) * scale if len(pixels) else None

    return Finder(masks.name, "masks", box, masks.source.folder)


def _baselines() -> list[Finder]:
    """Give the boxes of who looks at no pixel: the whole image, and half of it in the middle."""

    def of_share(share: float) -> Callable[[str, NDArray[np.uint8]], Sides]:
        sides = np.array([1 - share, 1 - share, 1 + share, 1 + share]) / 2
        return lambda key, image: sides * np.array([image.shape[1], image.shape[0]] * 2)

    return [
        Finder("baseline: whole image", "baseline", of_share(1.0)),
        Finder("baseline: middle half", "baseline", of_share(0.5**0.5)),
    ]


def _score(
    request: DiscoveryRequest,
    photographs: ImagesOfTruth,
    truth: Mapping[str, Annotation],
    keys: Sequence[str],
    finders: Sequence[Finder],
    advance: Callable[[int], object],
) -> tuple[list[str], list[tuple[str, str]]]:
    """Score all images by all ways; name those that count, and say why the others do not."""

    def read(key: str) -> tuple[NDArray[np.uint8], Sides] | str:
        try:
            image = photographs.images.decode(photographs.files[key])
            sides = true_sides(truth[key], image.shape[:2], no_hard=request.no_hard)
        except DiloError as error:
            return str(error)
        return (image, sides) if len(sides) else "no object is to be found on it"

    scored, skipped = [], []
    with ThreadPoolExecutor(max(request.machine.workers, 1)) as readers:
        for start in range(0, len(keys), AHEAD):
            part = keys[start : start + AHEAD]
            for key, content in zip(part, list(readers.map(read, part)), strict=True):
                reason = (
                    content if isinstance(content, str) else _score_image(key, *content, finders)
                )
                if reason:
                    skipped.append((escaped(photographs.files[key]), reason))
                else:
                    scored.append(key)
            advance(len(part))
    if not scored:
        path, reason = skipped[0]
        raise DiloError(
            f"--images {request.selection.root} must hold images that can be scored, but none of "
            f"{len(skipped)} can, the first being {path} ({reason}): check the files"
        )
    return scored, skipped


def _score_image(
    key: str, image: NDArray[np.uint8], sides: Sides, finders: Sequence[Finder]
) -> str:
    """Score an image by all ways, or by none: then the reason is returned."""
    try:
        boxes = [finder.box(key, image) for finder in finders]
    except CheckpointError:
        raise
    except DiloError as error:
        return str(error)
    for finder, box in zip(finders, boxes, strict=True):
        finder.overlaps.append(0.0 if box is None else float(overlaps(box[None], sides).max()))
        finder.boxes.append(np.full(4, np.nan) if box is None else box)
    return ""


def _record(
    request: DiscoveryRequest,
    scored: Sequence[str],
    photographs: ImagesOfTruth,
    masks: Sequence[MaskSource],
    finders: Sequence[Finder],
    skipped: Sequence[tuple[str, str]],
    started: float,
) -> dict[str, Any]:
    """Gather what discovery.json holds."""
    networks = [finder for finder in finders if finder.method == "features"]
    record = {
        "task": "discovery",
        "checkpoint": str(networks[0].source) if len(networks) == 1 else None,
        "step": networks[0].step if len(networks) == 1 else None,
        "inputs": {
            "images": keyed_images(photographs.images, [photographs.files[key] for key in scored])
            | selected(request.selection.options()),
            "truth": keyed(request.boxes, scored),
            "maps": [masks_listing(mask.source) for mask in masks],
        },
        "images": len(scored),
        "no_hard": request.no_hard,
        "skipped": skipped_images(skipped),
        "methods": [
            {
                "name": finder.name,
                "method": finder.method,
                "baseline": finder.method == "baseline",
                "checkpoint": None if finder.source is None else str(finder.source),
                "step": finder.step,
                "numbers": metric_values(METRICS, finder),
                "nothing_found": int(np.isnan(np.array(finder.boxes)[:, 0]).sum()),
            }
            for finder in finders
        ],
        "conventions": definitions(METRICS, PREPARATION),
        **provenance(started),
    }
    return {**record, "name": request.name or data_name(record["inputs"])}


def _write_texts(
    out: Path,
    request: DiscoveryRequest,
    scored: Sequence[str],
    photographs: ImagesOfTruth,
    finders: Sequence[Finder],
    table: Sequence[str],
) -> None:
    """Write the table, and each box."""
    out.mkdir(parents=True, exist_ok=True)
    head = f"{len(scored)} images of {photographs.images.path} against --boxes {request.boxes}"
    write_text(out / "table.txt", "".join(f"{line}\n" for line in (head, "", *table)))
    lines: list[tuple[object, ...]] = [
        (finder.name, escaped(photographs.files[key]), *map(float, box), overlap)
        for finder in finders
        for key, box, overlap in zip(scored, finder.boxes, finder.overlaps, strict=True)
    ]
    names = ("found by", "image", "x0", "y0", "x1", "y1", "iou")
    write_text(out / "per-image.csv", csv_text(names, lines, floats=".6f"))


def _sheet(
    finder: Finder,
    request: DiscoveryRequest,
    photographs: ImagesOfTruth,
    truth: Mapping[str, Annotation],
    scored: Sequence[str],
) -> Image.Image:
    """Draw the best, median and worst images: true boxes in green, the found one in orange."""
    order = np.argsort(-np.array(finder.overlaps), kind="stable").tolist()
    names = short_names(photographs.files[key] for key in scored)
    rows = []
    for kind, places in best_median_worst(order).items():
        cells = []
        for number, place in enumerate(places, 1):
            path = photographs.files[scored[place]]
            pixels = photographs.images.decode(path)
            sides = np.array([pixels.shape[1], pixels.shape[0]] * 2)
            picture = fit(pixels, CELL)
            shape = (pixels.shape[0], pixels.shape[1])
            true = true_sides(truth[scored[place]], shape, no_hard=request.no_hard)
            draw_boxes(picture, true / sides, TRUE)
            if not np.isnan(finder.boxes[place]).any():
                draw_boxes(picture, finder.boxes[place][None] / sides, FOUND)
            caption = f"{kind} {number}: {names[path]}\nIoU {finder.overlaps[place]:.2f}"
            cells.append(Picture(np.asarray(picture), caption))
        rows.append(cells)
    return sheet(rows, cell=CELL, shrink_rows=True)
