"""Masks against ground truth, image by image, on all cores."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields

import joblib
import numpy as np
from joblib.externals.loky.process_executor import TerminatedWorkerError
from numpy.typing import NDArray

from dilo.eval.common.pairing import Method, PngFolder, StoredMasks
from dilo.eval.saliency.measures import TRUTH_ABOVE, Measures, measure
from dilo.pipeline.compute.worker import safe_interpreters
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.masks.files import same_proportions

#: Images a worker scores before it says so.
BLOCK = 16


@dataclass(frozen=True, eq=False)
class Score:
    """What the masks of one method score, image by image.

    Attributes
    ----------
    name : str
        The method.
    images : sequence of str
        Keys of the M ground truths.
    precision, recall, f, e : ndarray of shape (M, 256), float64
        By image and threshold.
    adaptive_f, adaptive_e, mae, s_measure, weighted_f : ndarray of shape (M,), float64
        By image.
    failed : collection of str
        Those of `images` that dilo-prep could not read; their masks are all zero.
    resized : int
        PNGs that had another size than their ground truth; stored squares do not count.
    """

    name: str
    images: Sequence[str]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f: NDArray[np.float64]
    e: NDArray[np.float64]
    adaptive_f: NDArray[np.float64]
    adaptive_e: NDArray[np.float64]
    mae: NDArray[np.float64]
    s_measure: NDArray[np.float64]
    weighted_f: NDArray[np.float64]
    failed: Collection[str]
    resized: int


#: Of one image: the measures of each method, and whether its mask was resized.
_Row = list[tuple[Measures, bool]]


def score(
    methods: Sequence[Method],
    truth: PngFolder,
    images: Sequence[str],
    *,
    jobs: int,
    progress: Callable[[int], object],
) -> list[Score]:
    """Score the masks of several methods on the same images.

    Parameters
    ----------
    methods : sequence of Method
        Each with a mask for every image.
    truth : PngFolder
        The ground truths.
    images : sequence of str
        Keys of those to score on, at least one.
    jobs : int
        Workers, as joblib counts them: -1 is one a core.
    progress : callable
        Called with the number of images done since the last call.

    Returns
    -------
    list of Score
        One a method, in their order.

    Raises
    ------
    DiloError
        If a file cannot be read, every ground truth is empty, or a worker dies.
    """
    blocks = [images[start : start + BLOCK] for start in range(0, len(images), BLOCK)]
    workers = min(joblib.effective_n_jobs(jobs), len(blocks))
    calls = [joblib.delayed(_score_block)(methods, truth, block) for block in blocks]
    rows: list[_Row] = []
    try:
        with safe_interpreters():
            scorers = joblib.Parallel(n_jobs=workers, return_as="generator", batch_size=1)
            for scored in scorers(calls):
                rows += scored
                progress(len(scored))
    except TerminatedWorkerError as error:
        raise DiloError(
            "a worker process died, most often for want of memory: give fewer --jobs"
        ) from error
    # At threshold 0 everything is found: recall is 1, or there is nothing to recall.
    if not any(row[0][0].recall[0] for row in rows):
        raise DiloError(
            f"--truth {truth.folder} must be white (above {TRUTH_ABOVE} of 255) where the object "
            "is, got no such pixel in any file: all are black"
        )
    columns = zip(*rows, strict=True)
    return [_score(method, images, column) for method, column in zip(methods, columns, strict=True)]


def _score_block(methods: Sequence[Method], truth: PngFolder, images: Sequence[str]) -> list[_Row]:
    """Score some images: for each, every method's measures, and whether its mask was resized."""
    rows = []
    for image in images:
        expected = truth.read_truth(image)
        row: _Row = []
        for method in methods:
            mask = method.source.read(method.pairs[image])
            _require_same(method, image, mask.shape, expected.shape)
            scored = measure(stretch_mask(mask, expected.shape), expected)
            row.append((scored, mask.shape != expected.shape))
        rows.append(row)
    return rows


def _require_same(
    method: Method, image: str, mask: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    """Refuse a mask of other proportions than its truth; a store's square is of its image's."""
    source, key = method.source, method.pairs[image]
    of = source.image_shape(key) if isinstance(source, StoredMasks) else mask
    if any(of) and not same_proportions(of, shape) and shape[0] != shape[1]:
        raise DiloError(
            f"{source.folder}: {key} must have the proportions of its ground truth, "
            f"{shape[1]} x {shape[0]}, or be square, got {of[1]} x {of[0]}: is it of the same "
            "picture, and not turned?"
        )


def _score(method: Method, images: Sequence[str], column: Sequence[tuple[Measures, bool]]) -> Score:
    """Stack the measures of a method."""
    stacks = {
        field.name: np.array([getattr(measures, field.name) for measures, _ in column])
        for field in fields(Measures)
    }
    failed = method.source.failed
    return Score(
        name=method.name,
        images=images,
        failed=[image for image in images if method.pairs[image] in failed],
        resized=0 if method.source.squashed else sum(resized for _, resized in column),
        **stacks,
    )
