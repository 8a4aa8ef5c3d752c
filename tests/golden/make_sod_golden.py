"""Make sod-*.npz from what PySODMetrics says of some maps, and SHA256SUMS.

    python -m venv sod && sod/bin/pip install pysodmetrics==1.6.2
    sod/bin/python tests/golden/make_sod_golden.py ECSSD_DEV

It pins old packages, so it has an environment of its own; this was numpy 2.3.4 and scipy 1.17.1.
sod-small.npz has a dozen drawn maps with their ground truths, all curves and all numbers.
sod-ecssd.npz has figures only, of the maps that the released RBD, GS and MC give for every fifth
image of ECSSD: the numbers of each image, one row an image, and the mean curves.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from make_golden import HERE, write_sums
from PIL import Image
from py_sod_metrics import MAE, Emeasure, Fmeasure, Smeasure, WeightedFmeasure

METHODS = ("rbd", "gs", "mc")


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)  # Fmeasure calls itself superseded
    np.savez_compressed(HERE / "sod-small.npz", **small())
    np.savez_compressed(HERE / "sod-ecssd.npz", **ecssd(Path(sys.argv[1])))
    write_sums()


def figures(mask, truth):
    """Measure one map: the curves by threshold, from 0 to 255, and the numbers."""
    steps = {
        "f": Fmeasure(),
        "e": Emeasure(),
        "mae": MAE(),
        "s_measure": Smeasure(),
        "weighted_f": WeightedFmeasure(),
    }
    for step in steps.values():
        step.step(mask, truth)
    found = {name: step.get_results() for name, step in steps.items()}
    curves = {
        "precision": found["f"]["pr"]["p"],
        "recall": found["f"]["pr"]["r"],
        "f": found["f"]["fm"]["curve"],
        "e": found["e"]["em"]["curve"],
    }
    numbers = {
        "adaptive_f": found["f"]["fm"]["adp"],
        "adaptive_e": found["e"]["em"]["adp"],
        "mae": found["mae"]["mae"],
        "s_measure": found["s_measure"]["sm"],
        "weighted_f": found["weighted_f"]["wfm"],
    }
    # The first of its curves is at threshold 255.
    return {name: curve[::-1] for name, curve in curves.items()}, numbers


def small():
    """Draw maps and ground truths of many kinds, and measure them."""
    kept = {}
    for number, (mask, truth) in enumerate(drawn(np.random.default_rng(20200406))):
        curves, numbers = figures(mask, truth)
        kept |= {f"{number}/mask": mask, f"{number}/truth": truth}
        kept |= {f"{number}/{name}": value for name, value in (curves | numbers).items()}
    return kept


def drawn(rng):
    """Yield maps and ground truths: soft, hard, of one value; of no, all and one pixel."""
    rows, columns = np.mgrid[:31, :47]
    disc = (np.hypot(rows - 12, columns - 20) < 9).astype(np.uint8) * 255
    soft = np.exp(-(np.hypot(rows - 14, columns - 23) ** 2) / 150)
    blob = np.rint(200 * soft + 20 * rng.random(soft.shape)).astype(np.uint8)
    noise = rng.integers(0, 256, disc.shape, dtype=np.uint8)
    empty, full, pixel = np.zeros_like(disc), np.full_like(disc, 255), np.zeros_like(disc)
    pixel[4, 30] = 255
    speckled = (rng.random(disc.shape) < 0.3).astype(np.uint8) * 255
    gray = rng.choice(np.array([0, 127, 128, 129, 255], np.uint8), disc.shape)
    yield from ((blob, disc), (noise, disc), (noise, speckled), (noise, gray))
    yield from ((disc, disc), (255 - disc, disc), (empty, disc), (full, disc))
    yield from ((np.full_like(disc, 51), disc), (noise, empty), (noise, full), (noise, pixel))
    yield rng.integers(0, 256, (1, 9), dtype=np.uint8), np.repeat(disc[12:13, 15:16], 9, 1)
    yield noise[:16, :9], disc[:16, 8:17]


def ecssd(folder):
    """Measure the three methods' maps; the images in the order of their names."""
    truths = sorted((folder / "masks").glob("*.png"))
    kept = {"images": np.array([path.stem for path in truths])}
    for method in METHODS:
        every = [
            figures(read(folder / "oracle" / method / path.name), read(path)) for path in truths
        ]
        for name in every[0][1]:
            kept[f"{method}/{name}"] = np.array([numbers[name] for _, numbers in every])
        for name in every[0][0]:
            curves = np.array([curve[name] for curve, _ in every])
            kept[f"{method}/{name}/mean_curve"] = curves.mean(axis=0)
            if name in ("f", "e"):
                kept[f"{method}/{name}/max"] = curves.max(axis=1)
                kept[f"{method}/{name}/mean"] = curves.mean(axis=1)
    return kept


def read(path):
    """Read an 8-bit gray picture."""
    with Image.open(path) as opened:
        return np.asarray(opened.convert("L"))


if __name__ == "__main__":
    main()
