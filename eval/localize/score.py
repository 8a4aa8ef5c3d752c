"""One map against the objects of its image; without torch, since worker processes import this."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dilo.eval.attribution.heatmaps import levels, normalized
from dilo.eval.localize.baselines import center_map, random_map
from dilo.eval.localize.boxes import Boxes
from dilo.eval.localize.ground_truth import Objects, Sample
from dilo.eval.localize.measures import (
    BINS,
    CUTS,
    RIGHT,
    RIGHT_V2,
    best_overlap,
    energy_inside,
    map_box,
    pixel_counts,
    pointing,
    threshold_overlaps,
    tolerance_of,
)


@dataclass(frozen=True, eq=False)
class MapScore:
    """How well one map finds the objects of one image."""

    #: Share of its sum that lies on the object.
    energy: float
    #: Whether its greatest value hits; of ties, their share.
    pointing: float
    #: Its box at 20 % of its greatest value; of shape (1, 4) or (0, 4).
    box: Boxes
    #: Of that box with the true one nearest to it.
    overlap: float
    #: By threshold: whether the largest contour's box is right, then whether any contour's is, at
    #: each overlap that MaxBoxAccV2 asks for; of shape (4, 255), bool.
    right: NDArray[np.bool_]
    #: Pixels on the object and off it, by value; of shape (2, 1001), int64.
    pixels: NDArray[np.int64]
    #: Whether the map has one value alone, or one that is not finite.
    constant: bool


def score_map(saliency: NDArray[np.generic], objects: Objects) -> MapScore:
    """Measure a map.

    Parameters
    ----------
    saliency : ndarray of shape (S, S), any real dtype
        The map as it is.
    objects : Objects
        Of the image.

    Returns
    -------
    MapScore
        All of its measures.
    """
    stretched = normalized(saliency)
    box = map_box(stretched)
    largest, anyone = threshold_overlaps(levels(stretched), objects.boxes)
    return MapScore(
        energy=energy_inside(stretched, objects.mask),
        pointing=pointing(stretched, objects.mask, tolerance=tolerance_of(len(stretched))),
        box=box,
        overlap=best_overlap(box, objects.boxes),
        right=np.stack([largest >= RIGHT, *(anyone >= overlap for overlap in RIGHT_V2)]),
        pixels=pixel_counts(stretched, objects.mask),
        constant=not stretched.any(),
    )


def maps_of(sample: Sample, computed: NDArray[np.float32]) -> list[NDArray[np.generic]]:
    """Gather all maps of an image in the order of the table.

    Parameters
    ----------
    sample : Sample
        The image.
    computed : ndarray of shape (R, S, S), float32
        Those that networks made.

    Returns
    -------
    list of ndarray of shape (S, S)
        Of networks, of folders, the center prior, the random map.
    """
    size = len(sample.image)
    return [*computed, *sample.stored, center_map(size), random_map(sample.path, size)]


def score_sample(sample: Sample, computed: NDArray[np.float32]) -> list[MapScore]:
    """Measure all maps of an image.

    Parameters
    ----------
    sample : Sample
        The image.
    computed : ndarray of shape (R, S, S), float32
        The maps that networks made.

    Returns
    -------
    list of MapScore
        One a row of the table.
    """
    return [score_map(saliency, sample.objects) for saliency in maps_of(sample, computed)]


@dataclass(eq=False)
class MethodScores:
    """What the maps of one method score: sums over images, and a few numbers of each.

    Memory stays small with the number of images: a curve is kept as its sum.
    """

    #: By image.
    energy: list[float] = field(default_factory=list)
    #: By image.
    pointing: list[float] = field(default_factory=list)
    #: By image.
    overlap: list[float] = field(default_factory=list)
    #: By image: whether its map has nothing to say.
    constant: list[bool] = field(default_factory=list)
    #: By image, where a classifier made the maps and the true class is known; else empty.
    predicted_right: list[bool] = field(default_factory=list)
    #: By image: the class that the classifier predicts; empty where none did.
    predicted: list[str] = field(default_factory=list)
    #: Images that are right, by threshold, as `MapScore` has them; of shape (4, 255), int64.
    right: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((1 + len(RIGHT_V2), CUTS), np.int64)
    )
    #: Pixels of all images; of shape (2, 1001), int64.
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, BINS), np.int64))

    def add(self, score: MapScore) -> None:
        """Count one more image."""
        self.energy.append(score.energy)
        self.pointing.append(score.pointing)
        self.overlap.append(score.overlap)
        self.constant.append(score.constant)
        self.right += score.right
        self.pixels += score.pixels

    def order(self) -> list[int]:
        """Rank the images."""
        order: list[int] = np.lexsort((-np.array(self.energy), -np.array(self.overlap))).tolist()
        return order


def class_mean(values: Sequence[float], classes: Sequence[str]) -> float:
    """Average over the images of each class, then over classes."""
    by_class: dict[str, list[float]] = {}
    for name, value in zip(classes, values, strict=True):
        by_class.setdefault(name, []).append(value)
    return float(np.mean([np.mean(part) for part in by_class.values()]))
