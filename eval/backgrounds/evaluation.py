"""From classifiers and folders to the record and the sheet of their reliance on backgrounds."""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from dilo.eval.backgrounds.challenge import SIDE, find_challenge, read_mapping
from dilo.eval.backgrounds.classify import (
    ClassifierUnderTest,
    RunOptions,
    VariationAnswers,
    classify_challenge,
    classify_variations,
    of_challenge,
    of_folder,
)
from dilo.eval.backgrounds.draws import BackgroundDonors
from dilo.eval.backgrounds.metrics import reliance_metrics
from dilo.eval.backgrounds.sheet import challenge_sheet, folder_sheet
from dilo.eval.backgrounds.variations import VARIATIONS, Variations, evenly_spaced, select
from dilo.eval.common.inputs import listing
from dilo.eval.common.results import skipped_images
from dilo.eval.features.folders import labelled_folder
from dilo.eval.models.classifier import Classifier
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images import decode
from dilo.pipeline.store import MaskStore

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be evaluated."""

    #: By name.
    classifiers: Sequence[tuple[str, Classifier]]
    #: Which; all that there are if empty.
    variations: tuple[str, ...] = ()
    #: So many images at most, spread evenly; None for all.
    limit: int | None = None
    #: How pictures are read and shown.
    running: RunOptions


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came of it."""

    #: Ready for JSON.
    record: dict[str, Any]
    #: Some pictures, with the answers.
    sheet: Image.Image


def evaluate_folder(
    request: Request, images: Path, masks: Path, *, seed: int, say: Say
) -> Evaluation:
    """Judge classifiers by variations that are made of a folder and its masks."""
    folder, store = labelled_folder(images, say=say), MaskStore(masks)
    candidates = [
        of_folder(name, classifier, folder.classes, str(images)).to(request.running.device)
        for name, classifier in request.classifiers
    ]
    selection = select(folder, store)
    donors = BackgroundDonors.of(folder.names, folder.labels.numpy(), selection.positions, seed)
    positions = evenly_spaced(selection.positions, request.limit)
    for reason, count in Counter(reason for _, reason in selection.skipped).items():
        say(f"{images}: {count} of {len(folder.names)} images skipped: {reason}")
    found: dict[str, Mapping[str, Any]] = {}
    failures: list[tuple[str, str]] = []
    sizes = sorted(
        {classifier_under_test.classifier.encoder.size for classifier_under_test in candidates}
    )
    made = {size: Variations(folder, store, selection, donors, positions, size) for size in sizes}
    with Progress(len(sizes) * len(positions), "images", say) as progress:
        running = replace(request.running, progress=progress.advance)
        for size in sizes:
            group = [c for c in candidates if c.classifier.encoder.size == size]
            judged = classify_variations(
                group, made[size], request.variations or VARIATIONS, running
            )
            found |= {c.name: told for c, told in zip(group, judged.found, strict=True)}
            failures += judged.failures
    answers = [dict(found[classifier_under_test.name]) for classifier_under_test in candidates]
    record = {
        **_first(candidates),
        "mode": "folder",
        "inputs": {"images": listing(folder), "masks": str(masks.resolve())},
        "images": str(images),
        "masks": str(masks),
        "masks_fingerprint": store.fingerprint,
        "seed": seed,
        "judged_classes": len(folder.classes),
        **_results(candidates, VariationAnswers(answers, [*selection.skipped, *failures])),
    }
    shown = made[candidates[0].classifier.encoder.size]
    return Evaluation(record, folder_sheet(shown, candidates, answers))


@dataclass(frozen=True, kw_only=True)
class ChallengeOptions:
    """What is asked of the challenge alone."""

    #: From ImageNet's classes to the nine.
    mapping: Path | None = None
    #: Side that images are resized to; None for 224 px.
    size: int | None = None


def evaluate_challenge(
    request: Request, root: Path, options: ChallengeOptions, *, say: Say
) -> Evaluation:
    """Judge classifiers by a release of the Backgrounds Challenge."""
    challenge = find_challenge(root, request.variations)
    mapping = None if options.mapping is None else read_mapping(options.mapping)
    if mapping is not None:
        say(f"{mapping.source}: {sum(mapping.counts)} classes of ImageNet are {mapping.counts}")
    side = options.size or SIDE
    candidates = [
        of_challenge(name, classifier, mapping, challenge.classes, str(root)).to(
            request.running.device
        )
        for name, classifier in request.classifiers
    ]
    _say_how(candidates, challenge.folders, side, say)
    counts = [len(folder.names) for folder in challenge.folders.values()]
    with Progress(sum(min(n, request.limit or n) for n in counts), "images", say) as progress:
        running = replace(request.running, progress=progress.advance)
        judged = classify_challenge(candidates, challenge, running, side=side, limit=request.limit)
    record = {
        **_first(candidates),
        "mode": "challenge",
        "inputs": {"images": str(root.resolve())},
        "images": str(root),
        "side": side,
        "judged_classes": len(challenge.classes),
        "mapping": None if mapping is None else str(mapping.source),
        **_results(candidates, judged, len(challenge.classes)),
    }
    return Evaluation(record, challenge_sheet(challenge, side, candidates, judged.found))


def _say_how(
    candidates: Sequence[ClassifierUnderTest], folders: Mapping[str, Any], side: int, say: Say
) -> None:
    """Say what is not as the challenge has it."""
    for classifier_under_test in candidates:
        size = classifier_under_test.classifier.encoder.size
        trained = "" if size == side else f", trained at {size} px: --size {size} shows it those"
        say(f"{classifier_under_test.name}: sees {side} px{trained}")
    resized: dict[tuple[int, ...], list[str]] = {}
    for name, folder in folders.items():
        with contextlib.suppress(ImageError):  # which is reported with the others
            shape = decode(folder.root / folder.names[0]).shape[:2]
            if shape != (side, side):
                resized.setdefault(shape, []).append(name)
    for (height, width), names in resized.items():
        say(f"{width} x {height} px are resized to {side} x {side}: images of {', '.join(names)}")


def _first(candidates: Sequence[ClassifierUnderTest]) -> dict[str, Any]:
    """Begin a record with what every one begins with; of several classifiers, the first."""
    return {"task": "backgrounds", **_source(candidates[0].classifier)}


def _source(classifier: Classifier) -> dict[str, Any]:
    """Say whose weights they are."""
    encoder = classifier.encoder
    return {"checkpoint": str(encoder.source), "step": encoder.step, "size": encoder.size}


def _results(
    candidates: Sequence[ClassifierUnderTest], judged: VariationAnswers, classes: int | None = None
) -> dict[str, Any]:
    """Gather what was found; chance is one of some classes, or of all that a candidate has."""
    results = []
    for classifier_under_test, found in zip(candidates, judged.found, strict=True):
        results.append(
            {
                "name": classifier_under_test.name,
                **_source(classifier_under_test.classifier),
                "classes": len(classifier_under_test.class_map),
                "images": len(next(iter(found.values())).labels),
                "chance": 100 / (classes or len(classifier_under_test.class_map)),
                **reliance_metrics(found),
            }
        )
    return {"results": results, "skipped": skipped_images(dict(judged.failures).items())}
