"""One training of a detector, from the backbone to what it finds, resumed wherever it stopped."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dilo.eval.detect.annotations import DetectionSet
from dilo.eval.detect.coco_metric import coco_scores
from dilo.eval.detect.detections import read_detections, write_detections
from dilo.eval.detect.prediction import predict
from dilo.eval.detect.recipe import DetectionRecipe
from dilo.eval.detect.scores import ApScores
from dilo.eval.detect.sheet import write_sheet
from dilo.eval.detect.training import DetectionTask
from dilo.eval.detect.voc_metric import voc_scores
from dilo.eval.detect.weights import DETECTOR, Detector, load_detector, write_detector
from dilo.eval.models.encoder import Encoder
from dilo.train.engine.trainer import launch
from dilo.train.runtime import distributed
from dilo.train.runtime.options import RunOptions
from dilo.train.runtime.signals import Abandoned, StopSignal

#: What a detector found, in COCO's format for results.
DETECTIONS = "detections.json"
#: Pictures of it.
SHEET = "sheet.png"
#: Checkpoints and the record of a training.
TRAINING = "training"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all trainings of a request share."""

    #: The backbone, of which each training takes a copy.
    encoder: Encoder
    #: Images to learn from, and to be scored on.
    train: DetectionSet
    test: DetectionSet
    #: The name of the protocol.
    protocol: str
    machine: RunOptions


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How a training ended."""

    seed: int
    #: Of boxes, and of masks where there are any; None where a signal came before the end.
    box: ApScores | None = None
    mask: ApScores | None = None
    #: What asked it to stop; empty if nothing did.
    signal: str = ""


def train_and_score(
    job: Job,
    recipe: DetectionRecipe,
    folder: Path,
    say: Callable[[str], None],
    interruption: StopSignal,
) -> Scores:
    """Train a detector, find the objects of the test images, and score what was found.

    What lies in the folder already is not done again: a finished training, and its detections.
    All ranks call it with the same arguments; the scores are the same on all.
    """

    def stop() -> None:
        """Give up for a signal on any rank."""
        if any(distributed.any_rank([bool(interruption.name)])):
            raise Abandoned

    if not distributed.on_rank_zero((folder / DETECTIONS).is_file):
        try:
            if signal := _train_and_find(job, recipe, folder, say, stop):
                return Scores(seed=recipe.seed, signal=signal)
        except Abandoned:
            return Scores(seed=recipe.seed, signal=interruption.name or "on another rank")
    box, mask = distributed.on_rank_zero(
        lambda: _score(job.test, folder / DETECTIONS, masks=recipe.model.masks)
    )
    return Scores(seed=recipe.seed, box=box, mask=mask)


def _score(data: DetectionSet, path: Path, *, masks: bool) -> tuple[ApScores, ApScores | None]:
    """Score the boxes of a file by the rule of the set, and masks by COCO's if there are any."""
    detections = read_detections(path, data)
    if data.rule != "coco":
        return voc_scores(data, detections), None
    return (
        coco_scores(data, detections),
        coco_scores(data, detections, "segm") if masks else None,
    )


def _train_and_find(
    job: Job,
    recipe: DetectionRecipe,
    folder: Path,
    say: Callable[[str], None],
    stop: Callable[[], object],
) -> str:
    """Train, and find the objects; return the name of a signal that stopped it, or nothing."""
    trained = distributed.on_rank_zero((folder / DETECTOR).is_file)
    if not trained and (signal := _train(job, recipe, folder, say, stop)):
        return signal
    detector = load_detector(folder / DETECTOR)
    detector.network.to(job.machine.device)
    detections = predict(detector, job.test, job.machine, say, stop)

    def write() -> None:
        """Write the pictures, and the detections last: they say that all is there."""
        write_sheet(folder / SHEET, job.test, detections)
        write_detections(folder / DETECTIONS, detections, job.test)

    distributed.on_rank_zero(write)
    return ""


def _train(
    job: Job,
    recipe: DetectionRecipe,
    folder: Path,
    say: Callable[[str], None],
    stop: Callable[[], object],
) -> str:
    """Train, measure batch norm's statistics and write the detector, or return a signal's name."""
    encoder = copy.deepcopy(job.encoder)  # the detector takes its network over
    tasks: list[DetectionTask] = []

    def make_task(machine: RunOptions, _: Callable[[str], None]) -> DetectionTask:
        """Make the task, and keep it: what it has learnt is needed when it is done."""
        tasks.append(DetectionTask(encoder, job.train, recipe, machine))
        return tasks[0]

    result = launch(make_task, folder / TRAINING, job.machine, say, fixed_shapes=False)
    if result.signal:
        return result.signal
    (task,) = tasks
    if recipe.precise_norm:
        task.measure_statistics(say, stop)
    detector = Detector(
        network=task.model.detector,
        classes=job.train.classes,
        recipe=recipe,
        protocol=job.protocol,
        space=encoder.space,
        width=float(encoder.model.width),
    )
    distributed.on_rank_zero(lambda: write_detector(folder / DETECTOR, detector))
    return ""
