"""Maps scored against the objects of their images."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import joblib
import numpy as np
from joblib.externals.loky.process_executor import TerminatedWorkerError
from numpy.typing import NDArray

from dilo.eval.localize.ground_truth import Dataset, Sample
from dilo.eval.localize.networks import ClassifierMaps
from dilo.eval.localize.score import MethodScores, score_sample
from dilo.pipeline.compute.worker import safe_interpreters
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import escaped

#: The rows that every table ends in.
BASELINES = ("center", "random")


@dataclass(frozen=True, eq=False)
class Scores:
    """What all maps score on the images that could be read."""

    #: Of the truths of these images.
    keys: Sequence[str]
    #: Of each network each method, then of each folder of maps, then the two baselines.
    rows: Sequence[MethodScores]
    #: Relative path of each image skipped, and why.
    skipped: Sequence[tuple[str, str]]


def score_all(
    dataset: Dataset,
    networks: Sequence[ClassifierMaps],
    keys: Sequence[str],
    *,
    batch: int,
    workers: int,
    progress: Callable[[int], object],
) -> Scores:
    """Score the maps of all images."""
    made = sum(len(network.methods) for network in networks)
    rows = [MethodScores() for _ in range(made + len(dataset.methods) + len(BASELINES))]
    kept: list[str] = []
    skipped: list[tuple[str, str]] = []
    try:
        with (
            safe_interpreters(),
            ThreadPoolExecutor(max(workers, 1)) as readers,
            joblib.Parallel(n_jobs=max(workers, 1), batch_size=1) as scorers,
        ):
            for start in range(0, len(keys), batch):
                part = keys[start : start + batch]
                items = list(readers.map(dataset.read, part))
                skipped += [
                    (escaped(dataset.files[key]), reason)
                    for key, reason in zip(part, items, strict=True)
                    if isinstance(reason, str)
                ]
                if samples := [sample for sample in items if isinstance(sample, Sample)]:
                    computed = computed_maps(networks, samples, rows)
                    calls = map(joblib.delayed(score_sample), samples, computed)
                    for score_map in scorers(calls):
                        for row, one in zip(rows, score_map, strict=True):
                            row.add(one)
                    kept += [sample.key for sample in samples]
                progress(len(part))
    except TerminatedWorkerError as error:
        raise DiloError(
            "a worker process died, most often because memory is short: give fewer --workers"
        ) from error
    if not kept:
        path, reason = skipped[0]
        raise DiloError(
            f"--images {dataset.folder} must hold images that can be scored, but none of "
            f"{len(skipped)} can, the first being {path} ({reason}): check the files"
        )
    return Scores(kept, rows, skipped)


def computed_maps(
    networks: Sequence[ClassifierMaps], samples: Sequence[Sample], rows: Sequence[MethodScores] = ()
) -> NDArray[np.float32]:
    """Let all networks make their maps, and note what they predict.

    Parameters
    ----------
    networks : sequence of ClassifierMaps
        Those that make R maps of an image in all.
    samples : sequence of Sample
        B images.
    rows : sequence of MethodScores, optional
        Where to note the predicted classes: one a map.

    Returns
    -------
    ndarray of shape (B, R, S, S), float32
        The maps.
    """
    size = len(samples[0].image)
    parts = [np.empty((len(samples), 0, size, size), np.float32)]
    place = 0
    for network in networks:
        maps, predicted = network.maps(samples)
        parts.append(maps)
        true = network.true_rows(samples)
        names = [network.class_name(row) for row in predicted.tolist()]
        for row in rows[place : place + len(network.methods)]:
            row.predicted += names
            row.predicted_right += (predicted == true).tolist() if true else []
        place += len(network.methods)
    return np.concatenate(parts, axis=1)
