"""Time a whole mask, from a JPEG file to the compressed row of a shard: one JSON line a method.

    python benchmarks/saliency.py [--images DIR] [--method rbd --method gs ...] [--refine grabcut]

The yardstick is OpenCV decoding the whole of the same file, by turns with the mask. All times are
CPU times, so that other work on the machine hardly counts. One image after the other, on one core;
of each image the fastest of some runs, of these the median over images. Masks are compressed as a
shard is: one after the other when all are there. The stages are timed in runs of their own, each
without the stages that it calls, so that they add up. "threads" is CPU time of the process over
that of its one thread: 1 unless a library hides some. Without --images it takes scikit-image's own
photographs, as JPEGs made on the fly.
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
    ("connectivity", "dilo.pipeline.saliency.classical.slic", "enforce_connectivity"),
    ("region sums", "dilo.pipeline.saliency.classical.superpixels", "describe"),
    *(
        ("graph", f"dilo.pipeline.saliency.classical.{name}", "color_graph")
        for name in ("rbd", "gs", "consensus")
    ),
    ("graph", "dilo.pipeline.saliency.classical.rbd", "color_sigmas"),
    ("graph", "dilo.pipeline.saliency.classical.mc", "chain_graph"),
    ("graph", "dilo.pipeline.saliency.classical.mc", "affinity"),
    ("graph", "dilo.pipeline.saliency.classical.mr", "link_weights"),
    ("graph", "dilo.pipeline.saliency.classical.mr", "two_hop_neighbors"),
    ("shortest paths", "dilo.pipeline.saliency.classical.rbd", "shortest_paths"),
    ("shortest paths", "dilo.pipeline.saliency.classical.gs", "distance_from"),
    *(
        ("equations", f"dilo.pipeline.saliency.classical.{name}", "solve")
        for name in ("rbd", "mc", "mr")
    ),
    ("colour models", "dilo.pipeline.saliency.cuts.grabcut", "_color_models"),
    ("cut", "dilo.pipeline.saliency.cuts.grabcut", "_cut"),
)
REST = "method and the rest"
COMPRESSION = "compression"


def make_mask(path: Path, recipe: MaskRecipe) -> NDArray[np.uint8]:
    """Make a mask of a file."""
    image, _ = decode_reduced(read_file(path), recipe.side)
    return recipe(image, SIZE)


def compression_ms(masks: list[NDArray[np.uint8]], repeats: int) -> float:
    """Let HDF5 compress masks, as it does in a shard: milliseconds a mask, of the fastest run."""
    runs = []
    for _ in range(repeats):
        start = time.process_time()
        with h5py.File("shard.h5", "w", driver="core", backing_store=False) as file:
            rows = create_masks(file, len(masks), SIZE)
            for row, mask in enumerate(masks):
                rows[row] = mask
        runs.append(time.process_time() - start)
    return 1000 * min(runs) / len(masks)


def sample_jpegs(folder: Path) -> list[Path]:
    """Write scikit-image's photographs, which it installs, at ImageNet's usual size."""
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        photo = Image.fromarray(getattr(data, name)()).resize((500, 375))
        photo.save(folder / f"{name}.jpg", quality=90)
    return sorted(folder.iterdir())


def medians_ms(
    works: list[Callable[[Path], object]], files: list[Path], repeats: int
) -> list[float]:
    """Time works by turns, file by file: medians of the fastest of some runs, in milliseconds."""
    fastest = np.empty((len(files), len(works)))
    for row, file in enumerate(files):
        for column, work in enumerate(works):
            runs = []
            for _ in range(repeats):
                start = time.process_time()
                work(file)
                runs.append(time.process_time() - start)
            fastest[row, column] = 1000 * min(runs)
    return [float(value) for value in np.median(fastest, axis=0)]


@contextlib.contextmanager
def stopwatch(
    stages: tuple[tuple[str, str, str], ...], clock: Callable[[], float] = time.process_time
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
                start = time.process_time()
                work(file)
                whole = time.process_time() - start
            spent[REST] = whole - sum(spent.values())
            runs.append(spent)
        rows.append(min(runs, key=lambda run: sum(run.values())))
    # Of some images there is nothing to cut.
    timed = {stage for row in rows for stage in row}
    stages = [*dict.fromkeys(stage for stage, _, _ in STAGES if stage in timed), REST]
    return {
        stage: 1000 * statistics.median(row.get(stage, 0.0) for row in rows) for stage in stages
    }


def measure(method: str, refine: str | None, files: list[Path], repeats: int) -> dict[str, Any]:
    """Gather what is printed of one method."""
    recipe = MaskRecipe.create(method, refine)

    def work(file: Path) -> NDArray[np.uint8]:
        return make_mask(file, recipe)

    masks = [work(file) for file in files]  # and compile once
    compressed_ms = compression_ms(masks, repeats)
    process, thread = time.process_time(), time.thread_time()
    decode_ms, made_ms = medians_ms([lambda file: cv2.imread(str(file)), work], files, repeats)
    threads = (time.process_time() - process) / (time.thread_time() - thread)
    stages = stage_table(work, files, repeats) | {COMPRESSION: compressed_ms}
    mask_ms = made_ms + compressed_ms
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
