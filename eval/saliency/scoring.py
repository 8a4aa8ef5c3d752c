"""Masks against ground truth, image by image, on all cores."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields

import joblib
import numpy as np
from joblib.externals.loky.process_executor import TerminatedWorkerError
from numpy.typing import NDArray

from dilo.eval.common.pairing import MaskSource, PngFolder, StoredMasks
from dilo.eval.saliency.measures import TRUTH_ABOVE, Measures, measure
from dilo.pipeline.compute.worker import safe_interpreters
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.masks.files import same_proportions

#: Images a worker scores before it says so.
BLOCK = 16


@dataclass(frozen=True, eq=False)
class MethodScores:
    """What the masks of one method score, image by image."""

    #: The method.
    name: str
    #: Keys of the M ground truths.
    images: Sequence[str]
    #: By image and threshold; of shape (M, 256), float64.
    precision: NDArray[np.float64]
    #: By image and threshold; of shape (M, 256), float64.
    recall: NDArray[np.float64]
    #: By image and threshold; of shape (M, 256), float64.
    f: NDArray[np.float64]
    #: By image and threshold; of shape (M, 256), float64.
    e: NDArray[np.float64]
    #: By image; of shape (M,), float64.
    adaptive_f: NDArray[np.float64]
    #: By image; of shape (M,), float64.
    adaptive_e: NDArray[np.float64]
    #: By image; of shape (M,), float64.
    iou: NDArray[np.float64]
    #: By image; of shape (M,), float64.
    mae: NDArray[np.float64]
    #: By image; of shape (M,), float64.
    s_measure: NDArray[np.float64]
    #: By image; of shape (M,), float64.
    weighted_f: NDArray[np.float64]
    #: Those of `images` that dilo-prep could not read; their masks are all zero.
    failed: Collection[str]
    #: PNGs that had another size than their ground truth; stored squares do not count.
    resized: int


#: Of one image: the measures of each method, and whether its mask was resized.
_ImageScores = list[tuple[Measures, bool]]


def score(
    methods: Sequence[MaskSource],
    truth: PngFolder,
    images: Sequence[str],
    *,
    jobs: int,
    progress: Callable[[int], object],
) -> list[MethodScores]:
    """Score the masks of several methods on the same images."""
    blocks = [images[start : start + BLOCK] for start in range(0, len(images), BLOCK)]
    workers = min(joblib.effective_n_jobs(jobs), len(blocks))
    calls = [joblib.delayed(_score_block)(methods, truth, block) for block in blocks]
    rows: list[_ImageScores] = []
    try:
        with safe_interpreters():
            scorers = joblib.Parallel(n_jobs=workers, return_as="generator", batch_size=1)
            for scored in scorers(calls):
                rows += scored
                progress(len(scored))
    except TerminatedWorkerError as error:
        raise DiloError(
            "a worker process died, most often because memory is short: give fewer --workers"
        ) from error
    # At threshold 0 everything is found: recall is 1, or there is nothing to recall.
    if not any(row[0][0].recall[0] for row in rows):
        raise DiloError(
            f"--truth {truth.folder} must be white (above {TRUTH_ABOVE} of 255) where the object "
            "is, got no such pixel in any file: all are black"
        )
    columns = zip(*rows, strict=True)
    return [_score(method, images, column) for method, column in zip(methods, columns, strict=True)]


def _score_block(
    methods: Sequence[MaskSource], truth: PngFolder, images: Sequence[str]
) -> list[_ImageScores]:
    """Score some images: for each, every method's measures, and whether its mask was resized."""
    rows = []
    for image in images:
        expected = truth.read_truth(image)
        row: _ImageScores = []
        for method in methods:
            mask = method.source.read(method.pairs[image])
            _require_same(method, image, mask.shape, expected.shape)
            scored = measure(stretch_mask(mask, expected.shape), expected)
            row.append((scored, mask.shape != expected.shape))
        rows.append(row)
    return rows


def _require_same(
    method: MaskSource, image: str, mask: tuple[int, ...], shape: tuple[int, ...]
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


def _score(
    method: MaskSource, images: Sequence[str], column: Sequence[tuple[Measures, bool]]
) -> MethodScores:
    """Stack the measures of a method."""
    stacks = {
        field.name: np.array([getattr(measures, field.name) for measures, _ in column])
        for field in fields(Measures)
    }
    failed = method.source.failed
    return MethodScores(
        name=method.name,
        images=images,
        failed=[image for image in images if method.pairs[image] in failed],
        resized=0 if method.source.squashed else sum(resized for _, resized in column),
        **stacks,
    )
