"""Time training by MoCo v2 with copy-paste, from the files to the optimiser: one JSON line.

    python benchmarks/train.py --images imagenet/train --masks masks --device cuda --workers 16
    python benchmarks/train.py --arch resnet18 --size 64 --batch 32 --workers 2    # on a CPU

Three loops with the same network, optimiser and precision, images a second: on random views that
lie on the device ("synthetic"), on files through `dilo.train` ("real"), and on the same files
through a plain loop ("plain"): torch's DataLoader with as many workers, Pillow, and the transforms
of the MoCo repository, twice, to float tensors. The loops take turns, and of the rounds the medians
count; ratios are of the rates of one round.

Ours always pastes. The plain loop does with --paste, as the authors' published loader has it: on
the whole image, with the mask from a PNG of the image's size; without, it has less to do. Both take
the same images, at most --count of them, which the page cache may hold from the first round on;
--count 0 takes all. Without --images it takes scikit-image's own photographs, over and over;
without --masks, masks are made first.
"""

import argparse
import contextlib
import dataclasses
import json
import platform
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loader import moco_transforms, pasted, prepared, read_image, read_mask
from PIL import Image
from saliency import sample_jpegs
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from dilo.pipeline.images.resizing import stretch_mask
from dilo.train.data.crop import compile_crops
from dilo.train.data.images import ImageSet, find_image_set
from dilo.train.engine.bench import Stages
from dilo.train.methods.base import ViewBatch
from dilo.train.recipes import load_recipe
from dilo.train.recipes.recipe import Recipe
from dilo.train.runtime.devices import choose_device, choose_precision, kernel_choice
from dilo.train.runtime.options import RunOptions

#: What the project is to reach: of the synthetic rate, and of the plain loop's where that pastes.
#: Without its paste, which takes a third of its time, three times its rate on 16 cores is more than
#: one GPU computes.
TARGETS = {"ratio_to_synthetic": 0.95, "ratio": 3.0}


class Plain(Dataset[tuple[Tensor, Tensor]]):
    """Two views of an image by the MoCo repository, each pasted where there are masks."""

    def __init__(self, images: list[Path], masks: list[Path], size: int) -> None:
        self._images, self._masks = images, masks
        self._transforms = moco_transforms(size)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = read_image(self._images[index])
        if not self._masks:
            return self._transforms(image), self._transforms(image)
        mask = read_mask(self._masks[index])
        return self._transforms(pasted(image, mask)), self._transforms(pasted(image, mask))


def write_pngs(source: ImageSet, folder: Path) -> list[Path]:
    """Write the masks of the images to train on as the authors' loader reads them."""
    folder.mkdir()
    files = []
    for index in source.indices.tolist():
        with Image.open(source.folder / source.names[index]) as image:
            mask = stretch_mask(source.store[index], (image.height, image.width))
        files.append(folder / f"{index}.png")
        Image.fromarray(mask).save(files[-1])
    return files


def plain_loop(stages: Stages, dataset: Plain, machine: RunOptions, batch: int) -> Iterator[float]:
    """Train on a dataset without end; how long a batch was waited for is not measured."""
    reading = DataLoader(
        dataset,
        batch_size=batch,
        # Without end, so that no epoch waits for its workers to start.
        sampler=RandomSampler(dataset, replacement=True, num_samples=2**40),
        num_workers=machine.workers,
        pin_memory=machine.device.type == "cuda",
        drop_last=True,
    )
    samples = torch.arange(batch, device=machine.device)
    for pair in reading:
        views = torch.cat([view.to(machine.device, non_blocking=True) for view in pair])
        views = views.contiguous(memory_format=torch.channels_last)
        stages.step(ViewBatch(views=views.chunk(2), samples=samples, step=0))
        yield 0.0


def find(options: argparse.Namespace, folder: Path) -> ImageSet:
    """Find images and masks, or make them."""
    images, masks = options.images, options.masks
    if images is None:
        images = folder / "images"
        images.mkdir()
        photographs = sample_jpegs(images)
        for copy in range(2 * options.batch // len(photographs)):
            for photograph in photographs:
                (images / f"{copy}-{photograph.name}").hardlink_to(photograph)
    source = prepared(images, folder)[0] if masks is None else find_image_set(images, masks, 0.01)
    if options.count and options.count < len(source.indices):
        chosen = np.random.default_rng(0).permutation(source.indices)[: options.count]
        source = dataclasses.replace(source, indices=np.sort(chosen))
    return source


def measure(options: argparse.Namespace, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Gather what is printed."""
    device = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    machine = RunOptions(device=device, workers=options.workers, precision=precision)
    source = find(options, folder)
    paths = [source.folder / source.names[index] for index in source.indices.tolist()]
    dataset = Plain(
        paths, write_pngs(source, folder / "pngs") if options.paste else [], options.size
    )
    stages = Stages(recipe, source, machine, {}, options.seconds)
    compile_crops()
    rows: list[dict[str, float]] = []
    for turn in range(options.rounds):
        with kernel_choice(deterministic=False):  # as dilo-train does
            synthetic, (real, waited) = stages.network(), stages.whole()
            with contextlib.closing(plain_loop(stages, dataset, machine, options.batch)) as plain:
                row = {"synthetic": synthetic, "real": real, "plain": stages.stream(plain)[0]}
        row |= {"waited": waited, "ratio_to_synthetic": real / synthetic}
        rows.append(row | {"ratio": real / row["plain"]})
        print(f"round {turn + 1}: {rows[-1]}", file=sys.stderr)
    median = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "measured": f"training by moco-v2, {options.arch} at {options.size} px, batches of "
        f"{options.batch}, pasted, from the files to the optimiser",
        "images_per_second": {k: round(median[k], 1) for k in ("synthetic", "real", "plain")},
        **{name: round(median[name], 3) for name in TARGETS},
        "ranges": {k: [round(f(row[k] for row in rows), 3) for f in (min, max)] for k in TARGETS},
        "targets": TARGETS if options.paste else {"ratio_to_synthetic": 0.95},
        "yardstick": f"DataLoader, Pillow and torchvision {'with' if options.paste else 'without'}"
        " the authors' paste, as many workers, the same step",
        "waiting_for_the_loader": round(median["waited"], 3),
        "device": f"{device.type} ({name})",
        "precision": precision,
        "workers": options.workers,
        "threads": torch.get_num_threads(),
        "images": len(source.indices),
        "rounds": options.rounds,
        "versions": {p: version(p) for p in ("torch", "torchvision", "numpy", "pillow")},
    }


def options_of() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="folder of images, at any depth")
    parser.add_argument("--masks", type=Path, help="store that dilo-prep masks made of them")
    parser.add_argument("--count", type=int, default=8192, help="images at most; 0 for all")
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16", "fp16"], default="auto")
    parser.add_argument("--workers", type=int, default=2, help="of ours and of the plain loop")
    parser.add_argument("--paste", action="store_true", help="the plain loop pastes, too")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each loop and round")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    options = options_of()
    random.seed(0)
    torch.manual_seed(0)
    words = {"model.arch": options.arch, "views.size": options.size}
    words |= {"optimizer.batch": options.batch}
    recipe = load_recipe("moco-v2", [f"{key}={value}" for key, value in words.items()])
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measure(options, recipe, Path(name))))


if __name__ == "__main__":
    main()
