"""Detection from a request to a record: the images, the trainings, the scores."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dilo.eval.common.machine import Machine
from dilo.eval.common.results import (
    Evaluation,
    Say,
    beside,
    is_free,
    provenance,
    result_folder,
    write_result,
)
from dilo.eval.detect.annotations import DetectionSet, joined, require_masks
from dilo.eval.detect.coco_data import coco_paths, read_coco
from dilo.eval.detect.lists import choose_labelled, write_list
from dilo.eval.detect.models import require_backbone
from dilo.eval.detect.protocols import PROTOCOLS, Protocol, describe, deviations, with_overrides
from dilo.eval.detect.recipe import DetectionRecipe
from dilo.eval.detect.results import detection_record, detection_table
from dilo.eval.detect.run import DETECTIONS, Job, Scores, train_and_score
from dilo.eval.detect.voc_data import read_voc
from dilo.eval.detect.weights import DETECTOR
from dilo.eval.features.provenance import digest_of
from dilo.eval.models.encoder import Encoder, load_encoder
from dilo.pipeline.common.files import write_text
from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import ContentError, DiloError, first_few
from dilo.train.recipes.schema import flat
from dilo.train.runtime import distributed
from dilo.train.runtime.options import RunOptions
from dilo.train.runtime.signals import StopSignal

#: What a folder's trainings stand on, and the images of a part that was chosen.
SETTINGS, LABELLED = "settings.json", "labelled-images.txt"


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which detector to train, on what, and how often."""

    checkpoint: Path
    #: The folder of VOC, or that of COCO.
    root: Path
    machine: Machine
    protocol: str = "voc-24k"
    #: Folder of the result; None for that of the run.
    out: Path | None = None
    #: Trainings, with this seed and those that follow it.
    runs: int = 1
    seed: int = 0
    #: These override the protocol.
    batch: int | None = None
    groups: int | None = None
    iterations: int | None = None
    #: Values of the recipe, nested as its sections are.
    values: Mapping[str, Any] = field(default_factory=dict)
    #: Share of the training images, and a list of them.
    fraction: float | None = None
    list_file: Path | None = None
    #: Whether the folders hold a part of the official images.
    subset: bool = False
    #: Minutes from one checkpoint to the next.
    checkpoint_minutes: float = 15.0
    #: What the result is called; None for the name of the protocol.
    name: str | None = None


def evaluate(request: Request, say: Say) -> Evaluation:
    """Train detectors on the backbone, and write them, what they find, and the record.

    Under torchrun, every rank calls it; the result of all but the first is empty. Where a signal
    came, the record says "preempted", and the same request resumes.
    """
    started = time.monotonic()
    protocol = PROTOCOLS[request.protocol]
    folder = result_folder("detect", request.out, request.checkpoint)
    device, precision = request.machine.choose()
    # Read once: a run that is still trained may have another checkpoint soon, and lose this one.
    encoder = load_encoder(request.checkpoint, arch=request.machine.arch)
    weights = digest_of(require_backbone(encoder).state_dict())
    train, test = _read_sets(request, protocol)
    recipe = _recipe(request, protocol, encoder, len(train.classes))
    if recipe.model.masks:
        require_masks(train, learnt=True)
        require_masks(test, learnt=False)
    settings = _settings(request, weights, train, test, recipe, precision)
    with distributed.init_process_group(device) as here, StopSignal() as interruption:
        say = say if distributed.rank() == 0 else distributed.no_log
        _say_all(protocol, recipe, train, test, say)
        folder = distributed.on_rank_zero(
            lambda: _claimed_folder(folder, settings, request, train, say)
        )
        machine = RunOptions(
            device=here,
            workers=request.machine.workers,
            precision=precision,
            checkpoint_minutes=request.checkpoint_minutes,
        )
        job = Job(encoder=encoder, train=train, test=test, protocol=protocol.name, machine=machine)
        scores = _train_all(job, recipe, folder, request.runs, say, interruption)
        rank, ranks = distributed.rank(), distributed.world_size()
    if signal := scores[-1].signal:
        say(f"interrupted by {signal}; run the same command to resume")
        return Evaluation({"task": "detect", "preempted": True, "signal": signal}, [])
    if rank:
        return Evaluation({}, [])
    record = {
        **detection_record(job, recipe, scores, ranks=ranks, part=_part(request, train, test)),
        "name": request.name or protocol.name,
        "folder": str(folder),
        **provenance(started),
    }
    write_result(folder, record)
    seeds = ", ".join(f"seed-{each.seed}" for each in scores)
    say(f"{folder}: detect.json, and in {seeds}: {DETECTOR}, {DETECTIONS}, sheet.png")
    return Evaluation(record, detection_table(record))


def _recipe(
    request: Request, protocol: Protocol, encoder: Encoder, classes: int
) -> DetectionRecipe:
    """Make the recipe that a request asks for."""
    return with_overrides(
        protocol,
        arch=encoder.model.arch,
        seed=request.seed,
        batch=request.batch,
        groups=request.groups,
        iterations=request.iterations,
        side=request.machine.size,
        classes=classes,
        values=request.values,
    )


def _train_all(
    job: Job,
    recipe: DetectionRecipe,
    folder: Path,
    runs: int,
    say: Say,
    interruption: StopSignal,
) -> list[Scores]:
    """Train and score with one seed after another, up to a signal."""
    scores: list[Scores] = []
    for seed in range(recipe.seed, recipe.seed + runs):
        seeded = dataclasses.replace(recipe, seed=seed)
        place = folder / f"seed-{seed}"
        scores.append(train_and_score(job, seeded, place, say, interruption))
        if scores[-1].signal:
            break
    return scores


def _read_sets(request: Request, protocol: Protocol) -> tuple[DetectionSet, DetectionSet]:
    """Read the images to learn from, of which some may be chosen, and those to be scored on."""
    if protocol.data == "voc":
        train, test = (
            joined([_voc(request, words) for words in lists])
            for lists in (protocol.train, (protocol.test,))
        )
    else:
        train, test = (
            read_coco(*coco_paths(request.root, split), subset=request.subset)
            for split in (*protocol.train, protocol.test)
        )
    if train.classes != test.classes:
        others = [name for name in test.classes if name not in train.classes] or ["another order"]
        raise DiloError(
            f"{test.source} must have the classes of {train.source}, got {first_few(others)}"
        )
    chosen = choose_labelled(
        train, fraction=request.fraction, list_file=request.list_file, seed=request.seed
    )
    if not chosen.images:
        raise DiloError(f"{train.source} must hold an image with an object to learn from, got none")
    return chosen, test


def _voc(request: Request, words: str) -> DetectionSet:
    """Read a list of VOC, named as "2007 trainval"."""
    year, split = words.split(" ")
    return read_voc(request.root, int(year), split, subset=request.subset)


def _say_all(
    protocol: Protocol,
    recipe: DetectionRecipe,
    train: DetectionSet,
    test: DetectionSet,
    say: Say,
) -> None:
    """Say what is done, what of it is not the protocol, and what is odd about the images."""
    say(describe(protocol, recipe))
    if changes := deviations(protocol, recipe):
        say(f"not the protocol: {'; '.join(changes)}")
    say(f"{len(train.images)} training images, {len(test.images)} test images")
    for line in (*train.remarks, *test.remarks):
        say(line)


def _part(request: Request, train: DetectionSet, test: DetectionSet) -> str:
    """Say which part of the official images was used; nothing of all."""
    if request.fraction is None and request.list_file is None and not request.subset:
        return ""
    return f"{len(train.images)} training images ({train.name}), {len(test.images)} test images"


def _settings(
    request: Request,
    weights: str,
    train: DetectionSet,
    test: DetectionSet,
    recipe: DetectionRecipe,
    precision: str,
) -> dict[str, Any]:
    """Say what the trainings of a folder stand on; seeds stand beside each other in it."""
    values = flat(recipe.plain())
    del values["seed"]
    return {
        "protocol": request.protocol,
        "backbone": weights,
        "train": train.digest,
        "test": test.digest,
        "precision": precision,
        **values,
    }


def _claimed_folder(
    folder: Path, settings: Mapping[str, Any], request: Request, train: DetectionSet, say: Say
) -> Path:
    """Choose the folder of these settings: the given one, or of a run one beside another's."""
    if request.out is not None:
        earlier = _earlier_settings(folder)
        if earlier is not None and earlier != settings:
            names = [key for key in settings if earlier.get(key) != settings[key]] or ["its keys"]
            raise DiloError(
                f"--out {folder} holds detectors of other settings, which differ in "
                f"{first_few(names)}: give the same, or another --out"
            )
        if earlier is None and not is_free(folder, given=True):
            names = sorted(path.name for path in folder.iterdir())
            raise DiloError(
                f"--out {folder} must be empty, or hold what this command wrote before, got "
                f"{first_few(names)} and no {SETTINGS}: give another folder"
            )
        place = folder
    else:
        places = beside(folder, request.name or request.protocol)
        place = next(
            each
            for each in places
            if _earlier_settings(each) == settings or is_free(each, given=False)
        )
        if place != folder:
            say(f"{folder} holds detectors of other settings, which are kept: this goes to {place}")
    write_text(place / SETTINGS, json.dumps(settings, indent=2) + "\n")
    if request.fraction is not None or request.list_file is not None:
        write_list(place / LABELLED, train)
    return place


def _earlier_settings(folder: Path) -> dict[str, Any] | None:
    """Read the settings of a folder; None where there are none."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, ContentError):
        settings = read_json(folder / SETTINGS)
        return settings if isinstance(settings, dict) else None
    return None
