"""Maps scored against the objects of their images."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import joblib
import numpy as np
from joblib.externals.loky.process_executor import TerminatedWorkerError
from numpy.typing import NDArray

from dilo.eval.attribution.heatmaps import levels, normalized
from dilo.eval.localize.baselines import center_map, random_map
from dilo.eval.localize.boxes import Boxes
from dilo.eval.localize.ground_truth import Collection, Example, Objects
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
from dilo.eval.localize.networks import Network
from dilo.pipeline.compute.worker import safe_interpreters
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import escaped


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


#: The rows that every table ends in.
FLOORS = ("center", "random")


@dataclass(frozen=True, eq=False)
class Scores:
    """What all maps score on the images that could be read.

    Attributes
    ----------
    keys : sequence of str
        Of the truths of these images.
    rows : sequence of Score
        Of each network each method, then of each folder of maps, then the two floors.
    left_out : sequence of (str, str)
        Relative path of each image left out, and why.
    """

    keys: Sequence[str]
    rows: Sequence[Score]
    left_out: Sequence[tuple[str, str]]


def score_all(
    collection: Collection,
    networks: Sequence[Network],
    keys: Sequence[str],
    *,
    batch: int,
    workers: int,
    progress: Callable[[int], object],
) -> Scores:
    """Score the maps of all images.

    Parameters
    ----------
    collection : Collection
        The images, their truth, and maps of them.
    networks : sequence of Network
        What makes maps besides.
    keys : sequence of str
        Of the truths of the images to score on.
    batch : int
        Images at once.
    workers : int
        Processes that score; with at most one, this process does.
    progress : callable
        Called with the number of images done since the last call.

    Returns
    -------
    Scores
        With the images in the order of `keys`.

    Raises
    ------
    DiloError
        If no image is left, or a worker dies.
    """
    made = sum(len(network.methods) for network in networks)
    rows = [Score() for _ in range(made + len(collection.methods) + len(FLOORS))]
    kept: list[str] = []
    left_out: list[tuple[str, str]] = []
    try:
        with (
            safe_interpreters(),
            ThreadPoolExecutor(max(workers, 1)) as readers,
            joblib.Parallel(n_jobs=max(workers, 1), batch_size=1) as scorers,
        ):
            for start in range(0, len(keys), batch):
                part = keys[start : start + batch]
                found = list(readers.map(collection.read, part))
                left_out += [
                    (escaped(collection.files[key]), reason)
                    for key, reason in zip(part, found, strict=True)
                    if isinstance(reason, str)
                ]
                if examples := [example for example in found if isinstance(example, Example)]:
                    computed = computed_maps(networks, examples, rows)
                    calls = map(joblib.delayed(score_example), examples, computed)
                    for located in scorers(calls):
                        for row, one in zip(rows, located, strict=True):
                            row.add(one)
                    kept += [example.key for example in examples]
                progress(len(part))
    except TerminatedWorkerError as error:
        raise DiloError(
            "a worker process died, most often for want of memory: give fewer --workers"
        ) from error
    if not kept:
        path, reason = left_out[0]
        raise DiloError(
            f"--images {collection.folder} must hold images that can be scored, but none of "
            f"{len(left_out)} can, the first being {path} ({reason}): check the files"
        )
    return Scores(kept, rows, left_out)


def computed_maps(
    networks: Sequence[Network], examples: Sequence[Example], rows: Sequence[Score] = ()
) -> NDArray[np.float32]:
    """Let all networks make their maps, and note what they predict.

    Parameters
    ----------
    networks : sequence of Network
        Those that make R maps of an image in all.
    examples : sequence of Example
        B images.
    rows : sequence of Score, optional
        Where to note the predicted classes: one a map.

    Returns
    -------
    ndarray of shape (B, R, S, S), float32
        The maps.
    """
    size = len(examples[0].image)
    parts = [np.empty((len(examples), 0, size, size), np.float32)]
    place = 0
    for network in networks:
        maps, predicted = network.maps(examples)
        parts.append(maps)
        true = network.true_rows(examples)
        names = [network.class_name(row) for row in predicted.tolist()]
        for row in rows[place : place + len(network.methods)]:
            row.predicted += names
            row.predicted_right += (predicted == true).tolist() if true else []
        place += len(network.methods)
    return np.concatenate(parts, axis=1)
