"""From classifiers and folders to the record and the sheet of their reliance on backgrounds."""

import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from dilo.eval.backgrounds.challenge import SIDE, Challenge, find_challenge, read_mapping
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
from dilo.eval.backgrounds.metrics import heading, paired_metrics, reliance_metrics, table
from dilo.eval.backgrounds.sheet import challenge_sheet, folder_sheet
from dilo.eval.backgrounds.variations import VARIATIONS, Variations, evenly_spaced, select
from dilo.eval.common.inputs import data_name, keyed, listing
from dilo.eval.common.machine import Machine
from dilo.eval.common.results import (
    Evaluation,
    Say,
    provenance,
    record_head,
    say_skipped,
    settled_folder,
    skipped_images,
    write_image,
    write_result,
)
from dilo.eval.features.folders import labelled_folder
from dilo.eval.models.classifier import Classifier, load_classifier
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.store import MaskStore


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be evaluated, and where the result goes."""

    #: Name and file, or run, of each classifier; names differ.
    classifiers: Sequence[tuple[str, Path]]
    #: A release of the challenge; or images and masks, to make the variations of.
    challenge: Path | None = None
    #: From ImageNet's classes to the challenge's.
    mapping: Path | None = None
    #: Class folders, or some of their images.
    images: Path | ImageSelection | None = None
    #: The store of their masks.
    masks: Path | None = None
    #: Which backgrounds are drawn.
    seed: int = 0
    #: Which variations; all that there are if empty.
    variations: tuple[str, ...] = ()
    #: So many images at most, spread evenly; None for all.
    limit: int | None = None
    #: Folder of the results; made if it is missing.
    out: Path
    #: Whether nobody named it, and it is in the folder of a run.
    of_run: bool = False
    #: What to call the result; None for the name of the images' folder.
    name: str | None = None
    machine: Machine


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Classifiers that were read, and what they are shown."""

    #: By name.
    classifiers: Sequence[tuple[str, Classifier]]
    #: Which; all that there are if empty.
    variations: tuple[str, ...] = ()
    #: So many images at most, spread evenly; None for all.
    limit: int | None = None
    #: How pictures are read and shown.
    running: RunOptions


@dataclass(frozen=True, eq=False)
class Findings:
    """What came of it."""

    #: Ready for JSON.
    record: dict[str, Any]
    #: Some pictures, with the answers.
    sheet: Image.Image


def evaluate(request: Request, say: Say) -> Evaluation:
    """Measure how far classifiers rely on backgrounds, and write record, table and sheet."""
    started = time.monotonic()
    machine = request.machine
    device, _ = machine.choose()
    setup = Setup(
        classifiers=[
            (name, load_classifier(path, arch=machine.arch, size=machine.size))
            for name, path in request.classifiers
        ],
        variations=request.variations,
        limit=request.limit,
        running=RunOptions(batch=machine.batch, workers=machine.workers, device=device),
    )
    if request.challenge is not None:
        options = ChallengeOptions(mapping=request.mapping, size=machine.size)
        findings = evaluate_challenge(setup, request.challenge, options, say=say)
    elif request.images is not None and request.masks is not None:
        findings = evaluate_folder(setup, request.images, request.masks, seed=request.seed, say=say)
    else:
        raise ValueError("a request must have a challenge, or images and masks, got neither")
    record = findings.record | provenance(started)
    skipped = [(image["path"], image["reason"]) for image in record["skipped"]]
    say_skipped(skipped, say, "images cannot be used", "backgrounds.json")
    record["name"] = request.name or data_name(record["inputs"])
    lines = [heading(record), *table(record)]
    folder = settled_folder(request.out, record, say, of_run=request.of_run)
    write_text(folder / "table.txt", "\n".join(lines) + "\n")
    write_image(folder / "variations.png", findings.sheet)
    write_result(folder, record)  # last: it says that the others are there
    say(f"{folder}: backgrounds.json has all numbers, variations.png shows some pictures")
    return Evaluation(record, lines)


def evaluate_folder(
    setup: Setup, images: Path | ImageSelection, masks: Path, *, seed: int, say: Say
) -> Findings:
    """Judge classifiers by variations that are made of a folder and its masks."""
    folder, store = labelled_folder(images, say=say), MaskStore(masks)
    candidates = [
        of_folder(name, classifier, folder.classes, str(folder.root)).to(setup.running.device)
        for name, classifier in setup.classifiers
    ]
    selection = select(folder, store)
    donors = BackgroundDonors.of(folder.names, folder.labels.numpy(), selection.positions, seed)
    positions = evenly_spaced(selection.positions, setup.limit)
    for reason, count in Counter(reason for _, reason in selection.skipped).items():
        say(f"{folder.root}: {count} of {len(folder.names)} images skipped: {reason}")
    by_name: dict[str, Mapping[str, Any]] = {}
    failures: list[tuple[str, str]] = []
    sizes = sorted(
        {classifier_under_test.classifier.encoder.size for classifier_under_test in candidates}
    )
    made = {size: Variations(folder, store, selection, donors, positions, size) for size in sizes}
    with Progress(len(sizes) * len(positions), "images", say) as progress:
        running = replace(setup.running, progress=progress.advance)
        for size in sizes:
            group = [c for c in candidates if c.classifier.encoder.size == size]
            judged = classify_variations(group, made[size], setup.variations or VARIATIONS, running)
            by_name |= dict(zip([c.name for c in group], judged.by_classifier, strict=True))
            failures += judged.failures
    answers = [dict(by_name[classifier_under_test.name]) for classifier_under_test in candidates]
    record = {
        **record_head("backgrounds", (c.classifier.encoder for c in candidates)),
        "mode": "folder",
        "inputs": {
            "images": listing(folder),
            "masks": {"folder": str(masks.resolve()), "digest": store.fingerprint},
        },
        "images": str(folder.root),
        "masks": str(masks),
        "masks_fingerprint": store.fingerprint,
        "seed": seed,
        "judged_classes": len(folder.classes),
        **_results(candidates, VariationAnswers(answers, [*selection.skipped, *failures])),
    }
    shown = made[candidates[0].classifier.encoder.size]
    return Findings(record, folder_sheet(shown, candidates, answers))


@dataclass(frozen=True, kw_only=True)
class ChallengeOptions:
    """Options that only the challenge has."""

    #: From ImageNet's classes to the nine.
    mapping: Path | None = None
    #: Side that images are resized to; None for 224 px.
    size: int | None = None


def evaluate_challenge(
    setup: Setup, root: Path, options: ChallengeOptions, *, say: Say
) -> Findings:
    """Judge classifiers by a release of the Backgrounds Challenge."""
    challenge = find_challenge(root, setup.variations)
    mapping = None if options.mapping is None else read_mapping(options.mapping)
    if mapping is not None:
        say(f"{mapping.source}: {sum(mapping.counts)} classes of ImageNet are {mapping.counts}")
    side = options.size or SIDE
    candidates = [
        of_challenge(name, classifier, mapping, challenge.classes, str(root)).to(
            setup.running.device
        )
        for name, classifier in setup.classifiers
    ]
    _say_how(candidates, challenge.folders, side, say)
    counts = [len(folder.names) for folder in challenge.folders.values()]
    with Progress(sum(min(n, setup.limit or n) for n in counts), "images", say) as progress:
        running = replace(setup.running, progress=progress.advance)
        judged = classify_challenge(candidates, challenge, running, side=side, limit=setup.limit)
    record = {
        **record_head("backgrounds", (c.classifier.encoder for c in candidates)),
        "mode": "challenge",
        "inputs": {"images": keyed(root, _files(challenge))},
        "images": str(root),
        "side": side,
        "judged_classes": len(challenge.classes),
        "mapping": None if mapping is None else str(mapping.source),
        **_results(candidates, judged, len(challenge.classes)),
    }
    return Findings(record, challenge_sheet(challenge, side, candidates, judged.by_classifier))


def _files(challenge: Challenge) -> list[str]:
    """List the images of a release by their paths in it."""
    return [
        f"{variation}/val/{name}"
        for variation, folder in challenge.folders.items()
        for name in folder.names
    ]


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
            shape = folder.decode(0).shape[:2]
            if shape != (side, side):
                resized.setdefault(shape, []).append(name)
    for (height, width), names in resized.items():
        say(f"{width} x {height} px are resized to {side} x {side}: images of {', '.join(names)}")


def _source(classifier: Classifier) -> dict[str, Any]:
    """Say whose weights they are."""
    encoder = classifier.encoder
    return {"checkpoint": str(encoder.source), "step": encoder.step, "size": encoder.size}


def _results(
    candidates: Sequence[ClassifierUnderTest], judged: VariationAnswers, classes: int | None = None
) -> dict[str, Any]:
    """Gather the numbers; chance is one of some classes, or of all that a candidate has."""
    results = []
    for classifier_under_test, answers in zip(candidates, judged.by_classifier, strict=True):
        results.append(
            {
                "name": classifier_under_test.name,
                **_source(classifier_under_test.classifier),
                "classes": len(classifier_under_test.class_map),
                "images": len(next(iter(answers.values())).labels),
                "chance": 100 / (classes or len(classifier_under_test.class_map)),
                **reliance_metrics(answers),
            }
        )
    names = [candidate.name for candidate in candidates]
    return {
        "results": results,
        "pairs": paired_metrics(dict(zip(names, judged.by_classifier, strict=True))),
        "skipped": skipped_images(dict(judged.failures).items()),
    }
