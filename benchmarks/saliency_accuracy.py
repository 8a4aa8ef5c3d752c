"""Score saliency masks against ground truth, as benchmark papers do: one JSON line.

    python benchmarks/saliency_accuracy.py --images DIR --truth DIR (--method rbd | --masks DIR)

Maximum F (beta^2 = 0.3) of the mean precision and mean recall over images, and mean absolute
error. Masks are resized to their image bilinearly and stretched to 0..1; ground truth is what
lies above 127.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from PIL import Image

from dilo.pipeline.saliency import METHODS, saliency

BETA_SQUARED = 0.3
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}


def precision_recall(
    mask: NDArray[np.float64], truth: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall of ``floor(255 * mask) >= t`` for t = 0..255; 1 where nothing is."""
    levels = np.floor(255 * mask).astype(np.int64)
    # Counts at or above each threshold: histograms summed from the top.
    found = np.bincount(levels.ravel(), minlength=256)[::-1].cumsum()[::-1]
    hits = np.bincount(levels[truth], minlength=256)[::-1].cumsum()[::-1]
    precision = np.divide(hits, found, out=np.ones(256), where=found > 0)
    recall = hits / truth.sum() if truth.any() else np.ones(256)
    return precision, recall


def max_f(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    """Maximum over thresholds of the F of the mean curves, from (images, 256) each."""
    p, r = precision.mean(axis=0), recall.mean(axis=0)
    weighted = BETA_SQUARED * p + r
    f = np.divide((1 + BETA_SQUARED) * p * r, weighted, out=np.zeros(256), where=weighted > 0)
    return float(f.max())


def score(
    mask: NDArray[np.uint8], truth: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Precision curve, recall curve and mean absolute error of one mask of any size."""
    height, width = truth.shape
    resized = Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR)
    values = np.asarray(resized, dtype=np.float64)
    spread = values.max() - values.min()
    values = (values - values.min()) / spread if spread > 0 else values / 255
    return *precision_recall(values, truth), float(np.abs(values - truth).mean())


def score_file(
    image: Path, truth: Path, method: str | None, masks: Path | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Compute or read one image's mask and score it."""
    if masks is None:
        with Image.open(image) as opened:
            mask = saliency(np.asarray(opened.convert("RGB")), method or "rbd")
    else:
        with Image.open(masks / f"{image.stem}.png") as opened:
            mask = np.asarray(opened.convert("L"))
    with Image.open(truth / f"{image.stem}.png") as opened:
        return score(mask, np.asarray(opened.convert("L")) > 127)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--truth", type=Path, required=True, help="folder of STEM.png")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--method", choices=sorted(METHODS), help="compute the masks by this")
    source.add_argument("--masks", type=Path, help="or take them from a folder of STEM.png")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()

    images = sorted(p for p in options.images.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        parser.error(f"--images must hold .jpg or .png files, got none in {options.images}")
    scores = Parallel(n_jobs=options.jobs)(
        delayed(score_file)(image, options.truth, options.method, options.masks) for image in images
    )
    precision, recall, error = (np.array(column) for column in zip(*scores, strict=True))
    packages = ("numpy", "scipy", "scikit-image", "pillow")
    result = {
        "measured": f"accuracy of {options.method or options.masks}",
        "max_f": round(max_f(precision, recall), 4),
        "mae": round(float(error.mean()), 4),
        "images": len(images),
        "versions": {name: version(name) for name in packages},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
