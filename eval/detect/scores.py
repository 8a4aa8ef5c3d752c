"""Average precision as a record and a table have it, by whichever rule."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ApScores:
    """What detections score."""

    #: By which rule, in a sentence: numbers of two rules do not compare.
    rule: str
    #: Per cent: "AP", the mean over overlaps of 0.5, 0.55 ... 0.95, "AP50" and "AP75"; of COCO
    #: also "APs", "APm" and "APl", of small, medium and large objects. None where there is none.
    numbers: Mapping[str, float | None]
    #: "AP", "AP50" and "AP75" of each class.
    per_class: Mapping[str, Mapping[str, float | None]]
    #: What a reader of the numbers should know, in lines.
    remarks: tuple[str, ...] = ()
