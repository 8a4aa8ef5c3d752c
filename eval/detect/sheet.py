"""A sheet of the images on which a detector did best, middling and worst: true boxes and found."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilo.eval.common.boxdrawing import FOUND, TRUE, draw_boxes
from dilo.eval.common.results import write_image
from dilo.eval.common.sheets import best_median_worst
from dilo.eval.detect.annotations import Annotated, DetectionSet
from dilo.eval.detect.detections import Detections
from dilo.eval.detect.voc_metric import average_precision, class_curve
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images import decode
from dilo.pipeline.images.names import escaped
from dilo.pipeline.images.sheets import Picture, fit, sheet, text_cell
from dilo.pipeline.masks.segmentations import Polygons, Rle, segmentation_mask

#: Side of a picture, in pixels.
CELL = 280
#: Detections that are drawn: from this score on, but at least and at most so many.
SCORE, FEWEST, MOST = 0.5, 3, 20
#: How much of a mask's colour covers the picture.
OPACITY = 0.4
#: Pixels by which boxes of two classes are moved apart, more than a side of any image.
_APART = 1e6


def write_sheet(path: Path, data: DetectionSet, detections: Sequence[Detections]) -> None:
    """Draw the best, median and worst images, their objects in green, what is found in orange.

    Parameters
    ----------
    path : Path
        The PNG to write.
    data : DetectionSet
        The images.
    detections : sequence of Detections
        At most one for each image.
    """
    by_image = {each.image_id: each for each in detections}
    nothing = Detections(0, np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    pairs = [(image, by_image.get(image.image_id, nothing)) for image in data.images]
    pairs = [pair for pair in pairs if _countable(pair[0]).any()] or pairs
    scores = [image_precision(*pair) for pair in pairs]
    order = np.argsort(-np.array(scores), kind="stable").tolist()
    rows = [
        [
            cell
            for place, at in enumerate(places, 1)
            for cell in _cells(f"{kind} {place}", scores[at], *pairs[at], data.classes)
        ]
        for kind, places in best_median_worst(order).items()
    ]
    write_image(path, sheet(rows, cell=CELL, shrink_rows=True))


def image_precision(image: Annotated, detections: Detections) -> float:
    """Score the detections on one image, to rank it among others.

    Parameters
    ----------
    image : Annotated
        The image and its objects.
    detections : Detections
        Of this image.

    Returns
    -------
    float
        Average precision by VOC's area, over the detections of all classes in one order and the
        overlaps 0.5, 0.55 ... 0.95; per cent. 0 where there is no object to be found.
    """
    count = int(_countable(image).sum())
    if count == 0:
        return 0.0
    # Boxes of two classes lie apart, so that all can be matched at once.
    one = replace(
        image,
        boxes=image.boxes + _APART * image.labels[:, None],
        labels=np.zeros_like(image.labels),
        difficult=~_countable(image),
    )
    other = replace(
        detections,
        boxes=detections.boxes + _APART * detections.labels[:, None],
        labels=np.zeros_like(detections.labels),
    )
    return float(average_precision(class_curve([(one, other)], 0, count), points=False).mean())


def _countable(image: Annotated) -> NDArray[np.bool_]:
    """Tell which objects are to be found."""
    return ~(image.difficult | image.crowd)


def _cells(
    rank: str, precision: float, image: Annotated, detections: Detections, classes: Sequence[str]
) -> list[Picture]:
    """Draw an image twice: with its objects, and with what was found."""
    name = f"{rank}: {escaped(image.path.name)}"
    try:
        pixels = decode(image.path)
    except ImageError as error:
        reason = Picture(text_cell(str(error), cell=CELL), name)
        return [reason, reason]
    names = [classes[label] for label in image.labels.tolist()]
    hard = zip(names, _countable(image).tolist(), strict=True)
    words = [name if countable else f"({name})" for name, countable in hard]
    true = _drawn(pixels, image.boxes, words, image.segmentation, TRUE)
    order = np.argsort(-detections.scores, kind="stable")
    above = int((detections.scores >= SCORE).sum())
    shown = order[: min(max(above, FEWEST), MOST)].tolist()
    pairs = zip(detections.labels[shown], detections.scores[shown], strict=True)
    words = [f"{classes[label]} {score:.2f}" for label, score in pairs]
    masks = None if detections.masks is None else [detections.masks[at] for at in shown]
    drawn = _drawn(pixels, detections.boxes[shown], words, masks, FOUND)
    caption = f"AP {precision:.0f}; drawn: {len(shown)} of {len(order)} found"
    return [Picture(true, name), Picture(drawn, caption)]


def _drawn(
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.floating],
    words: Sequence[str],
    masks: Sequence[Polygons | Rle] | None,
    colour: tuple[int, int, int],
) -> NDArray[np.uint8]:
    """Draw boxes, their words and masks on an image at the size of a cell."""
    small = fit(pixels, CELL)
    height, width = pixels.shape[:2]
    if masks:
        any_mask = np.any([segmentation_mask(mask, (height, width)) for mask in masks], axis=0)
        shape = Image.fromarray(any_mask).resize(small.size, Image.Resampling.NEAREST)
        opacity = Image.fromarray(np.asarray(shape).astype(np.uint8) * round(255 * OPACITY))
        small.paste(colour, (0, 0), opacity)
    draw_boxes(small, boxes / np.array([width, height] * 2), colour, words)
    return np.asarray(small)
