"""Accuracy and time of a method over working sizes, superpixels and iterations: a JSON line each.

    python benchmarks/saliency_sweep.py --images DIR --truth DIR [--method rbd]
        [--side 128 --side 160] [--superpixels 250] [--iterations 3] [--segmentation compiled]

Maximum F of mean precision and recall and mean absolute error, as ``dilo-eval saliency`` defines
them, of the masks as a store holds them; and the median time a mask takes from pixels, against
that of the method's defaults in the same run.
"""

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dilo.eval.saliency.measures import normalised
from dilo.pipeline.compute.worker import single_threaded
from dilo.pipeline.images import decode_reduced, read_file
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.saliency import METHODS, MaskRecipe, Method
from dilo.pipeline.saliency.measures import counts, f_measure, precision, recall

SIZE = 224
#: Networks have weights and devices, and a benchmark of their own.
CLASSICAL = [name for name in METHODS if isinstance(METHODS[name], Method)]
SWEPT = ("side", "superpixels", "iterations", "segmentation")


def evaluate(
    recipe: MaskRecipe, images: list[Path], truths: list[np.ndarray]
) -> tuple[float, float, float]:
    """Maximum F, mean absolute error, and milliseconds a mask."""
    times, curves, errors = [], [], []
    for path, truth in zip(images, truths, strict=True):
        image, _ = decode_reduced(read_file(path), recipe.side)
        start = time.perf_counter()
        mask = recipe(image, SIZE)
        times.append(time.perf_counter() - start)
        saliency = normalised(stretch_mask(mask, truth.shape))
        counted = counts(saliency, truth)
        curves.append((precision(counted), recall(counted)))
        errors.append(float(np.abs(saliency - truth).mean()))
    mean = np.mean(curves, axis=0)
    best = float(f_measure(mean[0], mean[1]).max())
    return best, statistics.mean(errors), 1000 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--truth", type=Path, required=True, help="folder of STEM.png")
    parser.add_argument("--method", choices=CLASSICAL, default="rbd")
    parser.add_argument("--refine", choices=["grabcut"])
    for name in SWEPT[:3]:
        parser.add_argument(f"--{name}", type=int, action="append")
    parser.add_argument("--segmentation", action="append")
    options = parser.parse_args()

    images = sorted(options.images.glob("*.jpg"))
    if not images:
        parser.error(f"--images must hold .jpg files, got none in {options.images}")
    truths = []
    for image in images:
        with Image.open(options.truth / f"{image.stem}.png") as opened:
            truths.append(np.asarray(opened.convert("L")) > 128)
    default = MaskRecipe.create(options.method, options.refine)
    values = [getattr(options, name) or [default.method.as_dict()[name]] for name in SWEPT]
    with single_threaded():
        evaluate(default, images[:1], truths[:1])  # compiled once
        yardstick = evaluate(default, images, truths)[2]
        for combination in itertools.product(*values):
            settings: dict[str, Any] = dict(zip(SWEPT, combination, strict=True))
            recipe = MaskRecipe.create(options.method, options.refine, settings)
            max_f, mae, mask_ms = evaluate(recipe, images, truths)
            result = {
                "measured": f"{options.method} against the truth, time against its defaults",
                **settings,
                "max_f": round(max_f, 4),
                "mae": round(mae, 4),
                "mask_ms": round(mask_ms, 2),
                "ratio": round(mask_ms / yardstick, 2),
                "images": len(images),
            }
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
