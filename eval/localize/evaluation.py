"""The whole of `dilo-eval localize`: find, pair, map, score, write."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dilo.eval.attribution.classes import known_classes
from dilo.eval.common.pairing import ImagesOfTruth, MaskSource, find_images_of_truth, open_masks
from dilo.eval.common.results import Evaluation, Say, settled_folder, write_result
from dilo.eval.localize.ground_truth import BoxTruth, Dataset, MaskTruth, Truth
from dilo.eval.localize.measures import tolerance_of
from dilo.eval.localize.metrics import MethodResult
from dilo.eval.localize.networks import ClassifierMaps, class_of
from dilo.eval.localize.output import (
    notes,
    record_of,
    remove_sheets,
    table,
    write_sheets,
    write_texts,
)
from dilo.eval.localize.request import Request
from dilo.eval.localize.scoring import BASELINES, Scores, score_all
from dilo.eval.models.classifier import Classifier, load_classifier
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names, escaped

#: Side of the maps where no classifier says another: that of the published numbers.
SIZE = 224


#: What tables call the maps that look at no pixel.
BASELINE_NAMES = {"center": "baseline: center prior", "random": "baseline: random map"}


def evaluate(request: Request, say: Say) -> Evaluation:
    """Score maps against truth, and write tables, a plot and sheets."""
    started = time.monotonic()
    truth: Truth = (
        MaskTruth(request.truth, request.folder) if request.truth else BoxTruth(_boxes(request))
    )
    known = list(truth.keys)
    photographs = find_images_of_truth(request.selection, known, of=truth.where)
    methods = [
        open_masks(name, folder, known, option="--maps", of=truth.where)
        for name, folder in request.maps
    ]
    keys, missing = _common(request, photographs, truth, methods)
    classifiers = [
        (name, load_classifier(path, arch=request.machine.arch, size=request.machine.size))
        for name, path in request.classifiers
    ]
    sizes = [classifier.encoder.size for _, classifier in classifiers]
    dataset = Dataset(photographs, truth, methods, request.machine.size or max(sizes, default=SIZE))
    networks = _networks(request, classifiers, photographs, keys, say)
    say(
        f"{request.folder}: {len(keys)} images, squashed to {dataset.size} px, against "
        f"{truth.where}; pointing tolerates {tolerance_of(dataset.size):.3g} px"
    )
    for line in [
        *truth.remarks(),
        *(line for m in methods for line in m.source.remarks()),
    ]:
        say(line)
    with Progress(len(keys), "images", say) as progress:
        scores = score_all(
            dataset,
            networks,
            keys,
            batch=request.machine.batch,
            workers=request.machine.workers,
            progress=progress.advance,
        )
    rows = _rows(request, dataset, networks, scores)
    record = record_of(request, dataset, rows, scores, missing, started)
    for line in notes(record):
        say(line)
    out = settled_folder(request.out, record, say, of_run=request.of_run)
    request = replace(request, out=out)
    write_texts(request, dataset, rows, scores)
    if request.sheets:
        write_sheets(out, dataset, networks, rows, scores)
    else:
        remove_sheets(out, rows)
    write_result(out, record)  # last: it says that all the others are there
    say(f"{out}: table.txt has these numbers, localize.json more, per-image.csv the images")
    return Evaluation(record, table(rows))


def _boxes(request: Request) -> Path:
    """Take the boxes, where there are no masks."""
    if request.boxes is None:
        raise ValueError("a request must have truth or boxes, got neither")
    return request.boxes


def _common(
    request: Request, photographs: ImagesOfTruth, truth: Truth, methods: Sequence[MaskSource]
) -> tuple[list[str], list[str]]:
    """Choose the images that have truth and every map; name the others, if there may be any."""
    keys = [key for key in photographs.files if all(key in method.pairs for method in methods)]
    # By the name without extension: a PNG beside a JPEG of its name is a mask of it, not an image.
    taken = {photographs.files[key].rpartition(".")[0] for key in keys}
    missing = [
        escaped(name) for name in request.selection.names() if name.rpartition(".")[0] not in taken
    ]
    if missing and not request.allow_missing:
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        maps = "".join(f", and a map in {method.source.folder}" for method in methods)
        raise DiloError(
            f"each image of --images {request.folder} must have its truth in {truth.where}{maps}, "
            f"got {len(missing)} without ({named}): add what is missing, or give "
            "--allow-missing to score the others"
        )
    if not keys:
        raise DiloError(
            f"--maps must share at least one image of {truth.where}, got {len(methods)} folders "
            "without one in common: score them one at a time"
        )
    return keys, missing


def _networks(
    request: Request,
    classifiers: Sequence[tuple[str, Classifier]],
    photographs: ImagesOfTruth,
    keys: Sequence[str],
    say: Say,
) -> list[ClassifierMaps]:
    """Put classifiers on the device, and decide of which classes their maps are."""
    if not classifiers:
        return []
    device, _ = request.machine.choose()
    classes = _classes(request, [photographs.files[key] for key in keys])
    networks = []
    for name, classifier in classifiers:
        known, rule, reason = known_classes(
            classifier, sorted(set(classes.values())), f"--images {request.folder}", request.rule
        )
        say(f"{name}: maps of the {rule} class" + (f", as {reason}" if reason else ""))
        networks.append(
            ClassifierMaps(name, classifier.to(device), request.methods, known, rule, classes)
        )
    return networks


def _classes(request: Request, paths: Sequence[str]) -> dict[str, str]:
    """Find the class of each image; nothing where one has none."""
    names = request.selection.class_names(Names(paths))
    classes = [*map(class_of, paths)] if names is None else names
    return dict(zip(paths, classes, strict=True)) if all(classes) else {}


def _rows(
    request: Request, dataset: Dataset, networks: Sequence[ClassifierMaps], scores: Scores
) -> list[MethodResult]:
    """Name what was scored."""
    classes = list(_classes(request, [dataset.files[key] for key in scores.keys]).values())
    given: list[dict[str, Any]] = [
        {
            "name": f"{network.name} {method}",
            "method": method,
            "rule": network.rule,
            "checkpoint": str(network.classifier.encoder.source),
            "step": network.classifier.encoder.step,
        }
        for network in networks
        for method in network.methods
    ]
    given += [
        {"name": method.name, "method": "maps", "checkpoint": str(method.source.folder)}
        for method in dataset.methods
    ]
    given += [
        {"name": BASELINE_NAMES[baseline], "method": baseline, "baseline": True}
        for baseline in BASELINES
    ]
    return [
        MethodResult(**words, score=score, classes=classes, by_pixel=dataset.truth.by_pixel)
        for words, score in zip(given, scores.rows, strict=True)
    ]
