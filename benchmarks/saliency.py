"""Time a whole mask, from a JPEG file to the compressed row of a shard: one JSON line a method.

    python benchmarks/saliency.py [--images DIR] [--method rbd --method gs ...] [--refine grabcut]

The yardstick is OpenCV decoding the same files in the same run. One image after the other, on
one core; of each image the fastest of some runs, of these the median over images. The stages are
timed in runs of their own, each without the stages that it calls, so that they add up. "threads"
is CPU time over wall time: 1 unless a library hides some. Without --images it takes
scikit-image's own photographs, as JPEGs made on the fly.
"""

import argparse
import contextlib
import json
import pkgutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from dilo.pipeline.compute.worker import single_threaded
from dilo.pipeline.images import decode_reduced, read_file
from dilo.pipeline.saliency import METHODS, MaskRecipe, Method
from dilo.pipeline.store.maskrows import create_masks

SIZE = 224
#: Networks have weights and devices, and a benchmark of their own.
CLASSICAL = [name for name in METHODS if isinstance(METHODS[name], Method)]
#: Stage, and the function that does it, by the name under which another module calls it.
STAGES = (
    ("decode", "__main__", "decode_reduced"),
    ("squash", "dilo.pipeline.saliency.recipe", "squash"),
    ("frame", "dilo.pipeline.saliency.classical.superpixels", "inside_frame"),
    ("SLIC", "dilo.pipeline.saliency.classical.superpixels", "slic"),
    ("connectivity", "dilo.pipeline.saliency.classical.slic", "connected"),
    ("region sums", "dilo.pipeline.saliency.classical.superpixels", "describe"),
    *(
        ("graph", f"dilo.pipeline.saliency.classical.{name}", "color_graph")
        for name in ("rbd", "gs")
    ),
    ("graph", "dilo.pipeline.saliency.classical.consensus", "color_graph"),
    ("graph", "dilo.pipeline.saliency.classical.mc", "chain_graph"),
    ("graph", "dilo.pipeline.saliency.classical.mc", "affinity"),
    ("graph", "dilo.pipeline.saliency.classical.rbd", "color_scales"),
    ("shortest paths", "dilo.pipeline.saliency.classical.rbd", "shortest_paths"),
    ("shortest paths", "dilo.pipeline.saliency.classical.gs", "distance_from"),
    *(
        ("equations", f"dilo.pipeline.saliency.classical.{name}", "solve")
        for name in ("rbd", "mc", "mr")
    ),
    ("compression", "__main__", "write_mask"),
    ("grabcut", "dilo.pipeline.saliency.cuts.grabcut", "grabcut"),
)
REST = "method and the rest"


def whole_mask(path: Path, recipe: MaskRecipe, masks: h5py.Dataset) -> None:
    """Make one row of a shard of one file."""
    image, _ = decode_reduced(read_file(path), recipe.side)
    write_mask(masks, recipe(image, SIZE))


def write_mask(masks: h5py.Dataset, mask: NDArray[np.uint8]) -> None:
    """Let HDF5 compress a mask, as it does in a shard, and write it."""
    masks[0] = mask
    masks.flush()


@contextlib.contextmanager
def mask_row() -> Iterator[h5py.Dataset]:
    """Give a row of a shard to write masks to, in memory."""
    with h5py.File("row.h5", "w", driver="core", backing_store=False) as file:
        yield create_masks(file, 1, SIZE)


def sample_jpegs(folder: Path) -> list[Path]:
    """Write scikit-image's photographs, which it installs, at ImageNet's usual size."""
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        photo = Image.fromarray(getattr(data, name)()).resize((500, 375))
        photo.save(folder / f"{name}.jpg", quality=90)
    return sorted(folder.iterdir())


def median_ms(work: Callable[[Path], object], files: list[Path], repeats: int) -> float:
    """Median over files of the fastest of some runs, in milliseconds."""
    times = []
    for file in files:
        runs = []
        for _ in range(repeats):
            start = time.perf_counter()
            work(file)
            runs.append(time.perf_counter() - start)
        times.append(1000 * min(runs))
    return statistics.median(times)


@contextlib.contextmanager
def stopwatch(
    stages: tuple[tuple[str, str, str], ...], clock: Callable[[], float] = time.perf_counter
) -> Iterator[dict[str, float]]:
    """Time the stages while it is open: seconds a stage, less what it calls."""
    spent: dict[str, float] = {}
    inner = [0.0]  # of the stages open now, what those inside have taken
    replaced = []

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **settings: Any) -> Any:
            inner.append(0.0)
            start = clock()
            result = function(*arguments, **settings)
            whole = clock() - start
            spent[stage] = spent.get(stage, 0.0) + whole - inner.pop()
            inner[-1] += whole
            return result

        return wrapped

    for stage, owner_name, name in stages:
        owner = pkgutil.resolve_name(owner_name)
        if hasattr(owner, name):
            replaced.append((owner, name, getattr(owner, name)))
            setattr(owner, name, timed(stage, getattr(owner, name)))
    try:
        yield spent
    finally:
        for owner, name, function in replaced:
            setattr(owner, name, function)


def stage_table(
    work: Callable[[Path], object], files: list[Path], repeats: int
) -> dict[str, float]:
    """Milliseconds a stage: of each file the fastest run, of these the median over files."""
    rows = []
    for file in files:
        runs = []
        for _ in range(repeats):
            with stopwatch(STAGES) as spent:
                start = time.perf_counter()
                work(file)
                whole = time.perf_counter() - start
            spent[REST] = whole - sum(spent.values())
            runs.append(spent)
        rows.append(min(runs, key=lambda run: sum(run.values())))
    stages = [*dict.fromkeys(stage for stage, _, _ in STAGES if stage in rows[0]), REST]
    return {stage: 1000 * statistics.median(row[stage] for row in rows) for stage in stages}


def measure(method: str, refine: str | None, files: list[Path], repeats: int) -> dict[str, Any]:
    """Gather what is printed of one method."""
    recipe = MaskRecipe.create(method, refine)
    with mask_row() as masks:

        def work(file: Path) -> None:
            whole_mask(file, recipe, masks)

        work(files[0])  # compiled and imported once, not an image
        decode_ms = median_ms(lambda file: cv2.imread(str(file)), files, repeats)
        wall, cpu = time.perf_counter(), time.process_time()
        mask_ms = median_ms(work, files, repeats)
        threads = (time.process_time() - cpu) / (time.perf_counter() - wall)
        stages = stage_table(work, files, repeats)
    packages = ("numba", "numpy", "opencv-python-headless", "simplejpeg")
    name = f"{method}, {refine}" if refine else method
    return {
        "measured": f"one {name} mask, from a JPEG file to a shard's row, against cv2 decoding it",
        "ratio": round(mask_ms / decode_ms, 2),
        "mask_ms": round(mask_ms, 2),
        "decode_ms": round(decode_ms, 2),
        "stages_ms": {stage: round(ms, 3) for stage, ms in stages.items()},
        "images": len(files),
        "threads": round(threads, 2),
        "versions": {name: version(name) for name in packages},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="folder of JPEGs, at any depth")
    parser.add_argument("--method", choices=CLASSICAL, action="append", help="all unless given")
    parser.add_argument("--refine", choices=["grabcut"])
    parser.add_argument("--limit", type=int, default=200, help="images at most")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder, single_threaded():
        if options.images is None:
            files = sample_jpegs(Path(folder))
        else:
            found = (p for p in options.images.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg"})
            files = sorted(found)[: options.limit]
        if not files:
            parser.error(f"--images must hold .jpg or .jpeg files, got none in {options.images}")
        for method in options.method or CLASSICAL:
            print(json.dumps(measure(method, options.refine, files, options.repeats)), flush=True)


if __name__ == "__main__":
    main()
