"""Maps of one image against its objects, and the sums over images."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dilo.eval.localization.boxes import Boxes
from dilo.eval.localization.examples import Example
from dilo.eval.localization.maps import center_map, levels, normalized, random_map
from dilo.eval.localization.measures import (
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
from dilo.eval.localization.truth import Objects


@dataclass(frozen=True, eq=False)
class Located:
    """How well one map finds the objects of one image.

    Attributes
    ----------
    energy, pointing : float
        Share of its sum on the object; whether its greatest value hits.
    box : ndarray of shape (1, 4) or (0, 4), int64
        Its box at 20 % of its greatest value.
    overlap : float
        Of that box with the true one nearest to it.
    right : ndarray of shape (4, 255), bool
        By threshold: whether the largest contour's box is right, then whether any contour's
        is, at each overlap that MaxBoxAccV2 asks for.
    pixels : ndarray of shape (2, 1001), int64
        Pixels on the object and off it, by value.
    blank : bool
        Whether the map has one value alone, or one that is not finite.
    """

    energy: float
    pointing: float
    box: Boxes
    overlap: float
    right: NDArray[np.bool_]
    pixels: NDArray[np.int64]
    blank: bool


def located(saliency: NDArray[np.generic], objects: Objects) -> Located:
    """Measure a map.

    Parameters
    ----------
    saliency : ndarray of shape (S, S), any real dtype
        The map as it is.
    objects : Objects
        Of the image.

    Returns
    -------
    Located
        All of its measures.
    """
    stretched = normalized(saliency)
    box = map_box(stretched)
    largest, anyone = threshold_overlaps(levels(stretched), objects.boxes)
    return Located(
        energy=energy_inside(stretched, objects.mask),
        pointing=pointing(stretched, objects.mask, tolerance=tolerance_of(len(stretched))),
        box=box,
        overlap=best_overlap(box, objects.boxes),
        right=np.stack([largest >= RIGHT, *(anyone >= overlap for overlap in RIGHT_V2)]),
        pixels=pixel_counts(stretched, objects.mask),
        blank=not stretched.any(),
    )


def maps_of(example: Example, computed: NDArray[np.float32]) -> list[NDArray[np.generic]]:
    """Gather all maps of an image in the order of the table.

    Parameters
    ----------
    example : Example
        The image.
    computed : ndarray of shape (R, S, S), float32
        Those that networks made.

    Returns
    -------
    list of ndarray of shape (S, S)
        Of networks, of folders, the center prior, the random map.
    """
    size = len(example.image)
    return [*computed, *example.stored, center_map(size), random_map(example.path, size)]


def score_example(example: Example, computed: NDArray[np.float32]) -> list[Located]:
    """Measure all maps of an image.

    Parameters
    ----------
    example : Example
        The image.
    computed : ndarray of shape (R, S, S), float32
        The maps that networks made.

    Returns
    -------
    list of Located
        One a row of the table.
    """
    return [located(saliency, example.objects) for saliency in maps_of(example, computed)]


@dataclass(eq=False)
class Score:
    """What the maps of one method score: sums over images, and a few numbers of each.

    Memory stays small with the number of images: a curve is kept as its sum.

    Attributes
    ----------
    energy, pointing, overlap : list of float
        By image.
    blank : list of bool
        By image: whether its map has nothing to say.
    predicted_right : list of bool
        By image, where a classifier made the maps and the true class is known; else empty.
    predicted : list of str
        By image: the class that the classifier predicts; empty where none did.
    right : ndarray of shape (4, 255), int64
        Images that are right, by threshold, as `Located` has them.
    pixels : ndarray of shape (2, 1001), int64
        Pixels of all images.
    """

    energy: list[float] = field(default_factory=list)
    pointing: list[float] = field(default_factory=list)
    overlap: list[float] = field(default_factory=list)
    blank: list[bool] = field(default_factory=list)
    predicted_right: list[bool] = field(default_factory=list)
    predicted: list[str] = field(default_factory=list)
    right: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((1 + len(RIGHT_V2), CUTS), np.int64)
    )
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, BINS), np.int64))

    def add(self, found: Located) -> None:
        """Count one more image.

        Parameters
        ----------
        found : Located
            What its map scores.
        """
        self.energy.append(found.energy)
        self.pointing.append(found.pointing)
        self.overlap.append(found.overlap)
        self.blank.append(found.blank)
        self.right += found.right
        self.pixels += found.pixels

    def order(self) -> list[int]:
        """Rank the images.

        Returns
        -------
        list of int
            From the best down, by the overlap of the box, then by the energy inside.
        """
        order: list[int] = np.lexsort((-np.array(self.energy), -np.array(self.overlap))).tolist()
        return order


def class_mean(values: Sequence[float], classes: Sequence[str]) -> float:
    """Average over the images of each class, then over classes.

    Parameters
    ----------
    values : sequence of float
        By image.
    classes : sequence of str
        By image.

    Returns
    -------
    float
        Every class counts the same, however many images it has.
    """
    by_class: dict[str, list[float]] = {}
    for name, value in zip(classes, values, strict=True):
        by_class.setdefault(name, []).append(value)
    return float(np.mean([np.mean(part) for part in by_class.values()]))
