"""The numbers that a row of maps gets, each with the convention that makes it what it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dilo.eval.common.metrics import Metric
from dilo.eval.localize.measures import (
    CUTS,
    KEPT,
    PUBLISHED_SIDE,
    RIGHT,
    RIGHT_V2,
    TOLERANCE,
    pixel_ap,
)
from dilo.eval.localize.score import MethodScores, class_mean


@dataclass(frozen=True, eq=False)
class MethodResult:
    """Maps of one kind, one an image, and what they score."""

    #: What the table calls them.
    name: str
    #: How they were made: "gradient", "cam", "maps" from a folder, "center" or "random".
    method: str
    #: What they score.
    score: MethodScores
    #: The class folder of each image; empty where there are none.
    classes: Sequence[str]
    #: Whether the truth tells pixels, or boxes alone.
    by_pixel: bool
    baseline: bool = False
    #: "true" or "predicted": of which class a classifier made them.
    rule: str | None = None
    #: The file of the classifier, or the folder of the maps.
    checkpoint: str | None = None
    #: Of the checkpoint.
    step: int | None = None


def box_accuracies(score: MethodScores) -> list[float]:
    """Take the best threshold of each curve of right boxes."""
    best: list[float] = (100 * score.right.max(axis=1) / len(score.overlap)).tolist()
    return best


def box_threshold(score: MethodScores) -> float:
    """Tell at which threshold MaxBoxAcc is reached."""
    return int(score.right[0].argmax()) / CUTS


def _corloc(row: MethodResult) -> list[bool]:
    """Tell of each image whether the box is right."""
    return [overlap >= RIGHT for overlap in row.score.overlap]


def _per_cent(values: Sequence[float]) -> float:
    """Average over images."""
    return 100 * float(np.mean(values))


def _pointing_by_class(row: MethodResult) -> float | None:
    """Average over images of a class, then over classes."""
    return 100 * class_mean(row.score.pointing, row.classes) if row.classes else None


def _top1(row: MethodResult) -> float | None:
    """Count the images whose class is predicted."""
    return _per_cent(row.score.predicted_right) if row.score.predicted_right else None


def _top1_loc(row: MethodResult) -> float | None:
    """Count the images whose class is predicted and whose box is right."""
    predicted = row.score.predicted_right
    both = [box and one for box, one in zip(_corloc(row), predicted, strict=bool(predicted))]
    return _per_cent(both) if predicted else None


METRICS: tuple[Metric[MethodResult], ...] = (
    Metric(
        "energy_inside",
        "energy",
        "mean over images of the share of the map's sum that lies on the object (Wang et al. 2020)",
        lambda row: _per_cent(row.score.energy),
    ),
    Metric(
        "pointing_game",
        "pointing",
        f"images whose greatest value lies within {TOLERANCE:g} px of the object at a side of "
        f"{PUBLISHED_SIDE}, within the same share of any other side; of ties, their share (Zhang "
        "et al. 2016)",
        lambda row: _per_cent(row.score.pointing),
    ),
    Metric(
        "pointing_game_class_mean",
        "per class",
        "the same averaged in each class folder, then over classes; none without class folders",
        _pointing_by_class,
    ),
    Metric(
        "max_box_acc",
        "MaxBoxAcc",
        f"images whose box, of the largest contour, overlaps a true one by {RIGHT:g}, at the one "
        "threshold that is best for all (Choe et al. 2020)",
        lambda row: box_accuracies(row.score)[0],
    ),
    Metric(
        "max_box_acc_v2",
        "MaxBoxAccV2",
        f"the same for the best box of all contours, averaged over overlaps of "
        f"{', '.join(map(str, RIGHT_V2))}, each at its best threshold",
        lambda row: float(np.mean(box_accuracies(row.score)[1:])),
    ),
    Metric(
        "corloc",
        "CorLoc",
        f"images whose box, of the largest component above {KEPT:.0%} of the greatest value, "
        f"overlaps a true one by {RIGHT:g}; no threshold is chosen",
        lambda row: _per_cent(_corloc(row)),
    ),
    Metric(
        "gt_known_loc",
        "GT-known",
        "CorLoc where the map is that of the true class; none otherwise",
        lambda row: _per_cent(_corloc(row)) if row.rule == "true" else None,
    ),
    Metric(
        "top1_loc",
        "Top-1 Loc",
        "images whose class is predicted and whose box, as for CorLoc, is right; none where "
        "the true class is not known",
        _top1_loc,
    ),
    Metric(
        "top1",
        "top-1",
        "images whose class is predicted, squashed as they are here",
        _top1,
    ),
    Metric(
        "pixel_ap",
        "PxAP",
        "area under the precision-recall curve of the pixels of all images, by thousandths of "
        "the map; none where the truth is boxes (Choe et al. 2020)",
        lambda row: 100 * pixel_ap(row.score.pixels) if row.by_pixel else None,
    ),
)


#: What holds for all of them.
PREPARATION = (
    "per cent; images and truth squashed to a square; maps stretched to 0..1, each by its own "
    "least and greatest value, a constant or non-finite one to 0; for contours in 256 levels"
)
