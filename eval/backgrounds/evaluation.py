"""From classifiers and folders to the record and the sheet of their reliance on backgrounds."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dilo.eval.backgrounds.adversary import Foreground, attack, find_foregrounds
from dilo.eval.backgrounds.challenge import SIDE, Challenge, find_challenge, read_mapping
from dilo.eval.backgrounds.classify import (
    Candidate,
    Judged,
    Running,
    judge_challenge,
    judge_variations,
    of_challenge,
    of_folder,
    read_backgrounds,
)
from dilo.eval.backgrounds.draws import Donors
from dilo.eval.backgrounds.metrics import failures_of, reliance, share
from dilo.eval.backgrounds.sheet import challenge_sheet, folder_sheet
from dilo.eval.backgrounds.variations import VARIATIONS, Variations, select, spread
from dilo.eval.common.inputs import listing
from dilo.eval.features.folders import labelled_folder
from dilo.eval.models.classifier import Classifier
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images import decode
from dilo.pipeline.store import MaskStore

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be evaluated.

    Attributes
    ----------
    classifiers : sequence of (str, Classifier)
        By name.
    variations : tuple of str
        Which; all that there are if empty.
    limit : int or None
        So many images at most, spread evenly; None for all.
    running : Running
        How pictures are read and shown.
    """

    classifiers: Sequence[tuple[str, Classifier]]
    variations: tuple[str, ...] = ()
    limit: int | None = None
    running: Running


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came of it.

    Attributes
    ----------
    record : dict
        Ready for JSON.
    sheet : Image
        Some pictures, with the answers.
    """

    record: dict[str, Any]
    sheet: Image.Image


def evaluate_folder(
    request: Request, images: Path, masks: Path, *, seed: int, say: Say
) -> Evaluation:
    """Judge classifiers by variations that are made of a folder and its masks.

    Parameters
    ----------
    request : Request
        Classifiers that know the folder's classes.
    images : Path
        Class folders.
    masks : Path
        The store of their masks.
    seed : int
        Whose backgrounds are drawn.
    say : callable
        Writes one line.

    Returns
    -------
    Evaluation
        Its pictures depend on seed, folder, masks and the classifier's size alone.

    Raises
    ------
    DiloError
        If the folder, the store or a classifier does not fit.
    """
    folder, store = labelled_folder(images, say=say), MaskStore(masks)
    candidates = [
        of_folder(name, classifier, folder.classes, str(images)).to(request.running.device)
        for name, classifier in request.classifiers
    ]
    selection = select(folder, store)
    donors = Donors.of(folder.names, folder.labels.numpy(), selection.positions, seed)
    positions = spread(selection.positions, request.limit)
    for reason, count in selection.left_out.items():
        say(f"{images}: {count} of {len(folder.names)} images left out: {reason}")
    found: dict[str, Mapping[str, Any]] = {}
    failures: list[tuple[str, str]] = []
    sizes = sorted({candidate.classifier.encoder.size for candidate in candidates})
    made = {size: Variations(folder, store, selection, donors, positions, size) for size in sizes}
    with Progress(len(sizes) * len(positions), "images", say) as progress:
        running = replace(request.running, progress=progress.advance)
        for size in sizes:
            group = [c for c in candidates if c.classifier.encoder.size == size]
            judged = judge_variations(group, made[size], request.variations or VARIATIONS, running)
            found |= {c.name: told for c, told in zip(group, judged.found, strict=True)}
            failures += judged.failures
    answers = [dict(found[candidate.name]) for candidate in candidates]
    record = {
        **_first(candidates),
        "mode": "folder",
        "inputs": {"images": listing(folder), "masks": str(masks.resolve())},
        "images": str(images),
        "masks": str(masks),
        "masks_fingerprint": store.fingerprint,
        "seed": seed,
        "judged_classes": len(folder.classes),
        "left_out": selection.left_out,
        **_results(candidates, Judged(answers, failures)),
    }
    shown = made[candidates[0].classifier.encoder.size]
    return Evaluation(record, folder_sheet(shown, candidates, answers))


@dataclass(frozen=True, kw_only=True)
class ChallengeOptions:
    """What is asked of the challenge alone.

    Attributes
    ----------
    mapping : Path or None
        From ImageNet's classes to the nine.
    colours : str or None
        What standardises the colours; None to go by the file.
    size : int or None
        Side that images are resized to; None for 224 px.
    attack : bool
        Whether to measure the challenge's accuracy as well.
    """

    mapping: Path | None = None
    colours: str | None = None
    size: int | None = None
    attack: bool = False


def evaluate_challenge(
    request: Request, root: Path, options: ChallengeOptions, *, say: Say
) -> Evaluation:
    """Judge classifiers by a release of the Backgrounds Challenge.

    Parameters
    ----------
    request : Request
        Classifiers of 9 or of 1000 classes.
    root : Path
        The release.
    options : ChallengeOptions
        What is asked.
    say : callable
        Writes one line.

    Returns
    -------
    Evaluation
        By its protocol.

    Raises
    ------
    DiloError
        If the release, the mapping or a classifier does not fit.
    """
    challenge = find_challenge(root, request.variations)
    whole = find_challenge(root) if options.attack else challenge
    foregrounds = find_foregrounds(whole) if options.attack else []
    mapping = None if options.mapping is None else read_mapping(options.mapping)
    if mapping is not None:
        say(f"{mapping.source}: {sum(mapping.counts)} classes of ImageNet are {mapping.counts}")
    side = options.size or SIDE
    candidates = [
        of_challenge(name, classifier, mapping, challenge.classes, str(root), options.colours).to(
            request.running.device
        )
        for name, classifier in request.classifiers
    ]
    _say_how(candidates, challenge.folders, side, say)
    counts = [len(folder.names) for folder in challenge.folders.values()]
    with Progress(sum(min(n, request.limit or n) for n in counts), "images", say) as progress:
        running = replace(request.running, progress=progress.advance)
        judged = judge_challenge(candidates, challenge, running, side=side, limit=request.limit)
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
    if options.attack:
        _add_attack(record, request, candidates, whole, foregrounds, side, say)
    return Evaluation(record, challenge_sheet(challenge, side, candidates, judged.found))


def _add_attack(
    record: dict[str, Any],
    request: Request,
    candidates: Sequence[Candidate],
    challenge: Challenge,
    foregrounds: Sequence[Foreground],
    side: int,
    say: Say,
) -> None:
    """Measure the challenge's accuracy, and put it into the record."""
    chosen = spread(np.arange(len(foregrounds)), request.limit)
    backgrounds, unread = read_backgrounds(challenge, request.running, side)
    with Progress(len(chosen), "foregrounds", say) as progress:
        verdict = attack(
            candidates,
            [foregrounds[i] for i in chosen.tolist()],
            backgrounds,
            batch=request.running.batch,
            progress=progress.advance,
        )
    record["backgrounds"] = len(backgrounds)
    record["failures"] += failures_of([*unread, *verdict.failures])
    for result, holds in zip(record["results"], verdict.holds, strict=True):
        told = share(holds)
        result["challenge"] = None if told is None else vars(told)


def _say_how(
    candidates: Sequence[Candidate], folders: Mapping[str, Any], side: int, say: Say
) -> None:
    """Say what is not as the challenge has it, and what each candidate's colours are."""
    for candidate in candidates:
        size = candidate.classifier.encoder.size
        trained = "" if size == side else f", trained at {size} px: --size {size} shows it those"
        whose = {"training": "its training's", "in9": "ImageNet-9's"}[candidate.colours]
        say(f"{candidate.name}: sees {side} px{trained}; standardised by {whose} statistics")
    resized: dict[tuple[int, ...], list[str]] = {}
    for name, folder in folders.items():
        with contextlib.suppress(ImageError):  # which is reported with the others
            shape = decode(folder.root / folder.names[0]).shape[:2]
            if shape != (side, side):
                resized.setdefault(shape, []).append(name)
    for (height, width), names in resized.items():
        say(f"{width} x {height} px are resized to {side} x {side}: images of {', '.join(names)}")


def _first(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Begin a record with what every one begins with; of several classifiers, the first."""
    return {"task": "backgrounds", **_source(candidates[0].classifier)}


def _source(classifier: Classifier) -> dict[str, Any]:
    """Say whose weights they are."""
    encoder = classifier.encoder
    return {"checkpoint": str(encoder.source), "step": encoder.step, "size": encoder.size}


def _results(
    candidates: Sequence[Candidate], judged: Judged, classes: int | None = None
) -> dict[str, Any]:
    """Gather what was found; chance is one of some classes, or of all that a candidate has."""
    results = []
    for candidate, found in zip(candidates, judged.found, strict=True):
        results.append(
            {
                "name": candidate.name,
                **_source(candidate.classifier),
                "classes": len(candidate.meaning),
                "colours": candidate.colours,
                "images": len(next(iter(found.values())).labels),
                "chance": 100 / (classes or len(candidate.meaning)),
                **reliance(found),
            }
        )
    return {"results": results, "failures": failures_of(judged.failures)}
