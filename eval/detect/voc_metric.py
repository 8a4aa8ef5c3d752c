"""Average precision by PASCAL VOC's rule, as detectron2 computes it and MoCo reports it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilo.eval.common.overlaps import overlaps
from dilo.eval.detect.annotations import Annotated, DetectionSet
from dilo.eval.detect.detections import Detections
from dilo.eval.detect.scores import ApScores
from dilo.pipeline.errors import first_few

#: Overlaps above which a detection is right, in per cent.
OVERLAPS = tuple(range(50, 100, 5))
#: Columns of these that have names of their own.
NAMED = {"AP50": OVERLAPS.index(50), "AP75": OVERLAPS.index(75)}
#: The sentence beside the numbers.
RULES = {
    "11 points": "VOC 2007, as detectron2: mean of the precision at 11 recalls; sides + 1 pixel; "
    "difficult objects neither found nor missed",
    "area": "VOC 2012, as detectron2: area under the precision-recall curve; sides + 1 pixel; "
    "difficult objects neither found nor missed",
}
#: No division by zero where nothing is found.
_TINY = np.finfo(np.float64).eps


@dataclass(frozen=True, eq=False)
class Curve:
    """The detections of one class, sorted by falling score, against its objects."""

    #: Whether each is right; of shape (T, D), bool, one row an overlap.
    right: NDArray[np.bool_]
    #: Whether each is wrong; those of difficult objects are neither.
    wrong: NDArray[np.bool_]
    #: Objects of the class that are not difficult.
    count: int


def voc_scores(data: DetectionSet, detections: Sequence[Detections]) -> ApScores:
    """Score detections by the rule of the set's year.

    Parameters
    ----------
    data : DetectionSet
        The images and their objects; its `rule` is "11 points" or "area".
    detections : sequence of Detections
        At most one for each image; on the others nothing was found.

    Returns
    -------
    ApScores
        Per cent. As in detectron2, a class without an object counts as 0 by 11 points, and leaves
        no mean at all by the area; a remark names it.

    References
    ----------
    .. [1] M. Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 2010.
    .. [2] detectron2, `PASCALVOCDetectionEvaluator`.
    """
    points = data.rule == "11 points"
    by_image = {image.image_id: image for image in detections}
    pairs = [
        (image, by_image[image.image_id]) for image in data.images if image.image_id in by_image
    ]
    precisions = np.empty((len(data.classes), len(OVERLAPS)))
    empty = []
    for label, name in enumerate(data.classes):
        objects = [~image.difficult[image.labels == label] for image in data.images]
        count = int(sum(one.sum() for one in objects))
        curve = class_curve(pairs, label, count)
        precisions[label] = average_precision(curve, points=points)
        empty += [name] if count == 0 else []
    remarks = (
        f"classes without an object to be found: {first_few(empty)}; "
        + ("each counts as 0 in every mean" if points else "there is no mean"),
    )
    return ApScores(
        rule=RULES[data.rule],
        numbers=_numbers(precisions.mean(axis=0)),
        per_class={name: _numbers(row) for name, row in zip(data.classes, precisions, strict=True)},
        remarks=remarks if empty else (),
    )


def _numbers(precisions: NDArray[np.float64]) -> dict[str, float | None]:
    """Name the numbers of one class, or of the mean."""
    values = {"AP": precisions.mean(), **{name: precisions[at] for name, at in NAMED.items()}}
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}


def class_curve(
    pairs: Sequence[tuple[Annotated, Detections]],
    label: int,
    count: int,
) -> Curve:
    """Decide which detections of a class are right.

    Parameters
    ----------
    pairs : sequence of (Annotated, Detections)
        Images, with what was found on each.
    label : int
        The class.
    count : int
        Its objects in all images that are not difficult.

    Returns
    -------
    Curve
        By falling score, each detection belongs to the object of its image that it overlaps most,
        and is right if that is more than the threshold and the object is not taken yet.
    """
    best_shares, objects, hard, scores = [], [], [], []
    first = 0
    for image, detections in pairs:
        mine, theirs = detections.labels == label, image.labels == label
        boxes = _from_one(detections.boxes[mine])
        shares = overlaps(boxes, _from_one(image.boxes[theirs]), last=1)
        # The last stands for no object at all, where the class has none on the image.
        best = shares.argmax(axis=1) if shares.shape[1] else np.zeros(len(boxes), np.int64)
        best_shares.append(shares.max(axis=1, initial=-1.0))
        objects.append(first + best)
        hard.append(np.append(image.difficult[theirs], False)[best])
        scores.append(detections.scores[mine].astype(np.float64))
        first += shares.shape[1] + 1
    if not scores:
        nothing = np.zeros((len(OVERLAPS), 0), bool)
        return Curve(nothing, nothing, count)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    enough = np.concatenate(best_shares)[order] > np.array(OVERLAPS)[:, None] / 100
    difficult = np.concatenate(hard)[order]
    target = np.concatenate(objects)[order]
    right = np.stack([_first_of_each(target, row & ~difficult) for row in enough])
    return Curve(right, ~right & ~(enough & difficult), count)


def _first_of_each(target: NDArray[np.int64], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the first of the valid ones at each target."""
    places = np.flatnonzero(valid)
    marked = np.zeros(len(target), bool)
    marked[places[np.unique(target[places], return_index=True)[1]]] = True
    return marked


def average_precision(curve: Curve, *, points: bool) -> NDArray[np.float64]:
    """Compute the average precision of a class at each overlap.

    Parameters
    ----------
    curve : Curve
        Its detections.
    points : bool
        True: the mean, over recalls of 0, 0.1 ... 1, of the best precision at that recall or
        more. False: the area under the precision made falling.

    Returns
    -------
    ndarray of shape (T,), float64
        Per cent. Of a class without an object 0 by points, NaN by the area.
    """
    if curve.count == 0:
        return np.full(len(OVERLAPS), 0.0 if points else np.nan)
    hits, misses = curve.right.cumsum(axis=1), curve.wrong.cumsum(axis=1)
    recall = hits / curve.count
    precision = hits / np.maximum(hits + misses, _TINY)
    # The best precision from each place on, and 0 behind the last.
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate([best, np.zeros((len(best), 1))], axis=1)
    if not points:
        areas: NDArray[np.float64] = np.diff(recall, axis=1, prepend=0.0) * best[:, :-1]
        return 100 * np.asarray(areas.sum(axis=1))
    wanted = np.arange(0.0, 1.1, 0.1)
    places = np.stack([np.searchsorted(row, wanted, side="left") for row in recall])
    means: NDArray[np.float64] = 100 * np.take_along_axis(best, places, axis=1).mean(axis=1)
    return means


def _from_one(boxes: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Count boxes from 1, the last pixel included, as VOC's files do."""
    moved: NDArray[np.float64] = boxes.astype(np.float64) + np.array([1.0, 1.0, 0.0, 0.0])
    return moved
