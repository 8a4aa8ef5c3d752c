"""Time the reading of images in random order from each source, against files: one JSON line.

    python benchmarks/access.py --images DIR [--rounds 5] [--reads 4000]

The images of a folder are packed as a tar, a folder of tars, a tar of tars, a zip and a deflated
zip. The yardstick is `open` and `read` of the files, in the same run, all of it in the page cache,
by CPU time. A round reads the same images in the same order from all; what is said is the median.
"""

import argparse
import json
import os
import platform
import random
import statistics
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.source import open_images


def pack(images: Path, names: list[str], out: Path) -> dict[str, Path]:
    """Pack the images of a folder in every way."""
    forms = {"tar": out / "images.tar", "tar of tars": out / "outer.tar"}
    forms |= {"folder of tars": out / "tars", "zip": out / "images.zip"}
    forms |= {"deflated zip": out / "deflated.zip"}
    forms["folder of tars"].mkdir()
    with tarfile.open(forms["tar"], "w") as whole:
        for name in names:
            whole.add(images / name, name)
    for folder in sorted({name.partition("/")[0] for name in names}):
        with tarfile.open(forms["folder of tars"] / f"{folder}.tar", "w") as part:
            for name in names:
                if name.startswith(f"{folder}/"):
                    part.add(images / name, name.partition("/")[2])
    with tarfile.open(forms["tar of tars"], "w") as outer:
        for path in sorted(forms["folder of tars"].iterdir()):
            outer.add(path, path.name)
    for form, method in (("zip", zipfile.ZIP_STORED), ("deflated zip", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(forms[form], "w", method) as archive:
            for name in names:
                archive.writestr(name, (images / name).read_bytes())
    return forms


def seconds(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reads", type=int, default=4000)
    options = parser.parse_args()
    names = list(FolderSource(options.images).find())
    order = random.Random(0).choices(names, k=options.reads)

    def open_and_read() -> None:
        for name in order:
            with open(options.images / name, "rb", buffering=0) as file:
                file.readall()

    with tempfile.TemporaryDirectory() as temporary:
        os.environ["XDG_CACHE_HOME"] = f"{temporary}/cache"
        forms = {"folder": options.images, **pack(options.images, names, Path(temporary))}
        listing, sources = {}, {}
        for form, path in forms.items():
            begin = time.process_time()
            sources[form] = open_images(path)
            sources[form].find()
            listing[form] = time.process_time() - begin
        times: dict[str, list[float]] = {form: [] for form in ("open and read", *sources)}
        for _ in range(options.rounds + 1):  # the first warms up
            times["open and read"].append(seconds(open_and_read))
            for form, source in sources.items():
                read = source.read
                times[form].append(seconds(lambda read=read: [read(name) for name in order]))
    each = {
        form: 1e6 * statistics.median(spent[1:]) / options.reads for form, spent in times.items()
    }
    yardstick = each.pop("open and read")
    result = {
        "measured": f"reading {len(names)} images in random order, us of CPU an image",
        "bytes_an_image": round(
            statistics.mean((options.images / name).stat().st_size for name in names)
        ),
        "yardstick": "open and read of the files",
        "yardstick_us": round(yardstick, 1),
        "us": {form: round(spent, 1) for form, spent in each.items()},
        "ratio": {form: round(spent / yardstick, 2) for form, spent in each.items()},
        "listing_us_an_image": {
            form: round(1e6 * spent / len(names), 1) for form, spent in listing.items()
        },
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), "isal": version("isal")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
