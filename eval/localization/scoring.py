"""All images, in batches: read in threads, mapped by networks, scored on all cores."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import joblib
import numpy as np
from joblib.externals.loky.process_executor import TerminatedWorkerError
from numpy.typing import NDArray

from dilo.eval.localization.examples import Collection, Example
from dilo.eval.localization.networks import Network
from dilo.eval.localization.score import Score, score_example
from dilo.pipeline.compute.worker import safe_interpreters
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import escaped

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
