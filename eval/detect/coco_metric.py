"""Average precision by COCO's rule, computed by COCO's own API."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pycocotools.mask import encode

from dilo.eval.common.coco import MAX_JSON
from dilo.eval.detect.annotations import DetectionSet
from dilo.eval.detect.detections import Detections, coco_results
from dilo.eval.detect.scores import ApScores
from dilo.pipeline.common.textfiles import read_json
from dilo.pipeline.errors import first_few
from dilo.pipeline.masks.segmentations import TRIANGLE

#: Names of the first numbers that COCO's API computes, in its order.
NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
#: Of the overlaps 0.5, 0.55 ... 0.95, those of the numbers of a class.
_OF_CLASS = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}
#: What overlaps: boxes or masks.
Kind = Literal["bbox", "segm"]
#: The sentence beside the numbers.
RULE = (
    "COCO, pycocotools: mean of the precision at 101 recalls, at most 100 detections an image; "
    "crowds neither found nor missed"
)


def coco_scores(
    data: DetectionSet, detections: Sequence[Detections], kind: Kind = "bbox"
) -> ApScores:
    """Score detections by COCO's rule.

    Parameters
    ----------
    data : DetectionSet
        Images of a file in COCO's format, which is read again: the rule takes areas and boxes as
        they stand there.
    detections : sequence of Detections
        At most one for each image; on the others nothing was found.
    kind : "bbox" or "segm", default "bbox"
        Whether boxes are compared, or masks.

    Returns
    -------
    ApScores
        Per cent; None where there is no object, and 0 of everything where nothing was found.
    """
    results = coco_results(detections, data)
    truth = _quietly(_truth, data)
    if not results:  # COCO's API takes no empty list
        results = [_nothing(data)]
    if kind == "segm":  # or a mask's area would be its box's
        results = [{key: value for key, value in each.items() if key != "bbox"} for each in results]
    evaluation = _quietly(_evaluate, truth, results, kind, [each.image_id for each in data.images])
    precision = evaluation.eval["precision"]  # overlaps, recalls, classes, areas, limits
    per_class = {
        name: {key: _mean(precision[part, :, at, 0, -1]) for key, part in _OF_CLASS.items()}
        for at, name in enumerate(data.classes)
    }
    empty = [name for name, numbers in per_class.items() if numbers["AP"] is None]
    return ApScores(
        rule=f"{RULE}; {'masks' if kind == 'segm' else 'boxes'}",
        numbers={
            key: _per_cent(value) for key, value in zip(NUMBERS, evaluation.stats, strict=False)
        },
        per_class=per_class,
        remarks=(f"classes without an object: {first_few(empty)}; the means are of the others",)
        if empty
        else (),
    )


def _truth(data: DetectionSet) -> COCO:
    """Read the annotations of the set's images, numbered anew: to COCO's API 0 is no object."""
    wanted = {image.image_id for image in data.images}
    content = read_json(data.source, MAX_JSON)
    truth = COCO()
    truth.dataset = {
        "images": [image for image in content["images"] if image["id"] in wanted],
        "categories": content["categories"],
        "annotations": [
            {
                "iscrowd": 0,
                "area": each["bbox"][2] * each["bbox"][3],
                **_enclosing(each),
                "id": number,
            }
            for number, each in enumerate(content["annotations"], 1)
            if each["image_id"] in wanted
        ],
    }
    truth.createIndex()
    return truth


def _enclosing(entry: dict[str, Any]) -> dict[str, Any]:
    """Leave out outlines of less than three points, which COCO's API takes for boxes."""
    mask = entry.get("segmentation")
    if not isinstance(mask, list):
        return entry
    return entry | {"segmentation": [points for points in mask if len(points) >= TRIANGLE]}


def _nothing(data: DetectionSet) -> dict[str, Any]:
    """Make a detection that overlaps no object, of no area."""
    image = data.images[0]
    return {
        "image_id": image.image_id,
        "category_id": data.category_ids[0],
        "bbox": [0.0, 0.0, 0.0, 0.0],
        "segmentation": encode(np.zeros((image.height, image.width), np.uint8, "F")),
        "score": 0.0,
    }


def _evaluate(
    truth: COCO, results: list[dict[str, Any]], kind: Kind, image_ids: list[int | str]
) -> COCOeval:
    """Compute all that COCO's API does."""
    evaluation = COCOeval(truth, truth.loadRes(results), kind)
    evaluation.params.imgIds = image_ids
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def _quietly(function: Any, *arguments: Any) -> Any:
    """Call what talks to standard output."""
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments)


def _mean(precision: Any) -> float | None:
    """Average over what there is; -1 stands for what is not."""
    defined = precision[precision > -1]
    return 100 * float(np.mean(defined)) if defined.size else None


def _per_cent(value: float) -> float | None:
    """Write a number of COCO's API; it has -1 where there is none."""
    return None if value < 0 else 100 * float(value)
