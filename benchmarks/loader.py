"""Time what a loader worker does to an image: one JSON line.

    python benchmarks/loader.py [--images DIR] [--packed STORE]...

Measured is `ViewDataset` with `collate`: from the files of an image and its mask to the uint8 crops
of two views and of their masks, with all their draws, by the recipe moco-v2. There it stops, for
paste, colours, blur and normalisation are the device's: "augment" is what they take on this one
core, and "whole" the ratio with that added, as for training without a GPU.

The yardstick does all of it in Pillow, an image at a time: copy-paste as the authors' published
loader does it, on the whole image, with the mask from a PNG of the image's size; then the
transforms of the MoCo repository; two views. Same files, same run, one core; both are stacked to
batches, which they take in turn. Times are CPU times, so that other programs count for little and
hidden threads in full: means over images, of these medians over rounds. Files come from the page
cache. The stages are timed in rounds of their own. Without --images it takes scikit-image's own
photographs. --packed names the same images packed by dilo-prep pack: "packed" is what their crops
take, in the same rounds and with the same masks.
"""

import argparse
import functools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageFilter
from saliency import sample_jpegs, stopwatch
from torch import Tensor
from torch.utils.data import default_collate
from torchvision import transforms

from dilo.pipeline.compute.worker import single_threaded
from dilo.pipeline.images.resizing import stretch_mask
from dilo.pipeline.masks.computed import make_masks
from dilo.pipeline.store import MaskStore
from dilo.train.augment.color import MEAN, STD
from dilo.train.augment.views import augment
from dilo.train.data import dataset
from dilo.train.data.images import ImageSet, find_image_set
from dilo.train.recipes import load_recipe

#: Side of the background that the authors draw, and of a view.
SIDE = 224
BATCH = 25
#: Stage, who owns the function that does it, and its name there.
OURS = (
    ("read", "dilo.pipeline.images.folder", "read_file"),
    ("read", "dilo.pipeline.images.archives:ArchiveSource", "read"),
    ("decode", "dilo.pipeline.images.source", "decode_content"),
    ("draw", "dilo.train.data.dataset", "view_draw"),
    ("read mask", "dilo.pipeline.store:MaskStore", "__getitem__"),
    ("crop image", "dilo.train.data.dataset", "crop"),
    ("crop mask", "dilo.train.data.crop", "_mask_crop"),
    ("collate", "dilo.train.data.dataset", "collate"),
)
THEIRS = (
    ("read and decode", "__main__", "read_image"),
    ("read mask", "__main__", "read_mask"),
    ("paste", "__main__", "pasted"),
    ("crop image", "torchvision.transforms:RandomResizedCrop", "forward"),
    ("colours", "torchvision.transforms:RandomApply", "forward"),
    ("collate", "__main__", "default_collate"),
)
REST = "the rest"


def read_image(path: Path) -> Image.Image:
    """Read an image as torchvision's ImageFolder does."""
    with path.open("rb") as file:
        return Image.open(file).convert("RGB")


def read_mask(path: Path) -> Image.Image:
    """Read a mask."""
    with path.open("rb") as file:
        return Image.open(file).convert("L")


def pasted(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Paste the foreground onto a gray level, or not, as the authors' loader does."""
    if random.random() < 0.7:
        return image
    background = Image.new("RGB", (SIDE, SIDE), (int(255 * random.random()),) * 3)
    side = max(SIDE, *image.size)
    if side > SIDE:
        background = background.resize((side, side), Image.Resampling.BILINEAR)
    left, top = (random.randint(0, round((side - length) / 2)) for length in image.size)
    background = background.crop((left, top, left + image.width, top + image.height))
    if random.random() < 0.5:
        mask = mask.filter(ImageFilter.GaussianBlur(5))
    return Image.composite(image, background, mask)


def blurred(image: Image.Image) -> Image.Image:
    """Blur as the MoCo repository does."""
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))


def moco_transforms(size: int) -> transforms.Compose:
    """Give the transforms of the MoCo repository, version 2, to views of any size."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, (0.2, 1.0)),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
            transforms.RandomGrayscale(0.2),
            transforms.RandomApply([blurred], 0.5),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )


TRANSFORMS = moco_transforms(SIDE)


class Yardstick:
    """Samples as the authors' loader makes them, of images and PNGs of their masks."""

    def __init__(self, images: Sequence[Path], masks: Sequence[Path]) -> None:
        self._images, self._masks = images, masks

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Give two views of an image."""
        image, mask = read_image(self._images[index]), read_mask(self._masks[index])
        return TRANSFORMS(pasted(image, mask)), TRANSFORMS(pasted(image, mask))


def prepared(images: Path, folder: Path) -> tuple[ImageSet, Yardstick]:
    """Make the masks of some images, as a store and as PNGs."""
    make_masks(images, folder / "masks", "rbd", size=SIDE, workers=1)
    source = find_image_set(images, folder / "masks")
    paths, pngs = [], []
    for index in source.indices.tolist():
        paths.append(images / source.names[index])
        pngs.append(folder / f"{index}.png")
        with Image.open(paths[-1]) as image:
            mask = stretch_mask(MaskStore(folder / "masks")[index], (image.height, image.width))
        Image.fromarray(mask).save(pngs[-1])
    return source, Yardstick(paths, pngs)


class Contest:
    """What is timed, batch by batch."""

    def __init__(self, images: Path, folder: Path, packed: Sequence[Path] = ()) -> None:
        self.recipe = load_recipe("moco-v2", [])
        self.source, self.yardstick = prepared(images, folder)
        self.views = dataset.ViewDataset(self.source, self.recipe)
        self.packed = {
            store.name: dataset.ViewDataset(find_image_set(store, folder / "masks"), self.recipe)
            for store in packed
        }
        self.count = len(self.source.indices)

    def crops(
        self, epoch: int, indices: Sequence[int], views: dataset.ViewDataset | None = None
    ) -> dataset.CropBatch:
        """Make a batch as a worker does."""
        usable, views = self.source.indices, views or self.views
        return dataset.collate([views[epoch, int(usable[index])] for index in indices])

    def pillow(self, indices: Sequence[int]) -> Any:
        """Make a batch as the authors do."""
        return default_collate([self.yardstick[index] for index in indices])

    def round(self, epoch: int) -> dict[str, float]:
        """Take turns with the batches of all images: milliseconds an image."""
        spent = dict.fromkeys(("crops", "yardstick", "augment", *self.packed), 0.0)

        def timed(name: str, work: Callable[..., Any], *arguments: Any) -> Any:
            begin = time.process_time()
            result = work(*arguments)
            spent[name] += 1000 * (time.process_time() - begin) / self.count
            return result

        for first in range(0, self.count, BATCH):
            indices = range(first, min(first + BATCH, self.count))
            batch = timed("crops", self.crops, epoch, indices)
            for name, views in self.packed.items():
                timed(name, self.crops, epoch, indices, views)
            timed("yardstick", self.pillow, indices)
            timed("augment", augment, *batch[:3], self.recipe.views)
        return spent

    def stages(
        self, names: tuple[tuple[str, str, str], ...], make: Callable[[range], Any], rounds: int
    ) -> dict[str, float]:
        """Time the stages of a contestant: milliseconds an image."""
        rows = []
        for _ in range(rounds):
            with stopwatch(names, time.process_time) as spent:
                begin = time.process_time()
                for first in range(0, self.count, BATCH):
                    make(range(first, min(first + BATCH, self.count)))
                spent[REST] = time.process_time() - begin - sum(spent.values())
            rows.append(spent)
        shown = [*dict.fromkeys(name for name, _, _ in names if name in rows[0]), REST]
        medians = {name: statistics.median(row.get(name, 0.0) for row in rows) for name in shown}
        return {name: round(1000 * value / self.count, 3) for name, value in medians.items()}


def measure(images: Path, folder: Path, rounds: int, packed: Sequence[Path] = ()) -> dict[str, Any]:
    """Gather what is printed."""
    contest = Contest(images, folder, packed)
    contest.round(0)  # compiled, imported and read once
    rows = [contest.round(epoch) for epoch in range(1, rounds + 1)]
    ms = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    ratios = [row["yardstick"] / row["crops"] for row in rows]
    whole = [row["yardstick"] / (row["crops"] + row["augment"]) for row in rows]
    packages = ("numba", "numpy", "opencv-python-headless", "pillow", "simplejpeg")
    return {
        "measured": "two 224 px views with mask and draws, image file to uint8 crops in a batch; "
        "paste and colours are left to the device, see whole",
        "images_per_second_per_core": round(1000 / ms["crops"], 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "yardstick": "authors' copy-paste and MoCo v2's transforms by Pillow, file to float32",
        "whole": round(statistics.median(whole), 2),
        "crops_ms": round(ms["crops"], 3),
        "augment_ms": round(ms["augment"], 3),
        "yardstick_ms": round(ms["yardstick"], 3),
        "packed_ms": {name: round(ms[name], 3) for name in contest.packed},
        "stages_ms": contest.stages(OURS, lambda indices: contest.crops(1, indices), rounds),
        "packed_stages_ms": {
            name: contest.stages(OURS, functools.partial(contest.crops, 1, views=views), rounds)
            for name, views in contest.packed.items()
        },
        "yardstick_stages_ms": contest.stages(THEIRS, contest.pillow, 1),
        "images": contest.count,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in (*packages, "torch", "torchvision")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="folder of images, at any depth")
    parser.add_argument(
        "--packed", type=Path, action="append", default=[], help="the same images, packed"
    )
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, single_threaded():
        folder = Path(name)
        if options.images is None:
            (folder / "images").mkdir()
            sample_jpegs(folder / "images")
        images = options.images or folder / "images"
        print(json.dumps(measure(images, folder, options.rounds, options.packed)))


if __name__ == "__main__":
    main()
