"""Time a whole mask from JPEG bytes against Pillow decoding the same bytes: one JSON line.

    python benchmarks/saliency.py [--images DIR] [--method rbd]

Single images one after the other in this process; the ratio is of the medians over images.
"threads" is how many cores were busy, CPU time over wall time: 1 unless a library hides some.
Without --images it takes scikit-image's own photographs, as JPEGs made on the fly.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from dilo.pipeline.saliency import METHODS, saliency


def decode(jpeg: bytes) -> NDArray[np.uint8]:
    """Decode to RGB with Pillow."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB"))


def sample_jpegs() -> list[bytes]:
    """Encode scikit-image's photographs, which it installs, at ImageNet's usual size."""
    jpegs = []
    for photo in (data.astronaut(), data.chelsea(), data.coffee(), data.rocket()):
        buffer = io.BytesIO()
        Image.fromarray(photo).resize((500, 375)).save(buffer, "JPEG", quality=90)
        jpegs.append(buffer.getvalue())
    return jpegs


def median_ms(work: Callable[[bytes], object], jpegs: list[bytes], repeats: int) -> float:
    """Median over images of the fastest of some runs, in milliseconds."""
    times = []
    for jpeg in jpegs:
        runs = []
        for _ in range(repeats):
            start = time.perf_counter()
            work(jpeg)
            runs.append(time.perf_counter() - start)
        times.append(1000 * min(runs))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="folder of JPEGs, at any depth")
    parser.add_argument("--method", choices=sorted(METHODS), default="rbd")
    parser.add_argument("--limit", type=int, default=50, help="images at most")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    jpegs = sample_jpegs()
    if options.images is not None:
        files = sorted(
            path for path in options.images.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"}
        )
        jpegs = [path.read_bytes() for path in files[: options.limit]]
    if not jpegs:
        parser.error(f"--images must hold .jpg or .jpeg files, got none in {options.images}")
    saliency(decode(jpegs[0]), options.method)  # imports happen once, not per image
    decode_ms = median_ms(decode, jpegs, options.repeats)
    wall, cpu = time.perf_counter(), time.process_time()
    mask_ms = median_ms(lambda jpeg: saliency(decode(jpeg), options.method), jpegs, options.repeats)
    threads = (time.process_time() - cpu) / (time.perf_counter() - wall)
    packages = ("numpy", "scipy", "scikit-image", "pillow")
    result = {
        "measured": f"one {options.method} mask from JPEG bytes, against Pillow decoding them",
        "ratio": round(mask_ms / decode_ms, 2),
        "mask_ms": round(mask_ms, 2),
        "decode_ms": round(decode_ms, 2),
        "images": len(jpegs),
        "threads": round(threads, 2),
        "versions": {name: version(name) for name in packages},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
