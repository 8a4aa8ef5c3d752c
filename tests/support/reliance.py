"""Objects on backgrounds, both in the colour of their class, and classifiers that see either."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dilo.eval.backgrounds.classify import ClassifierUnderTest
from dilo.eval.models.classifier import Classifier
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.images.names import Names
from dilo.pipeline.store.maskrows import MaskRows
from dilo.pipeline.store.plan import IMAGES, PLAN, Plan
from dilo.pipeline.store.shardfile import write_shard
from dilo.train.networks.encoder import resnet
from dilo.train.recipes.recipe import ModelRecipe

#: Side of an image; the evaluation crop of size 28 is the middle 28 pixels of it.
SIDE = 32
SIZE = 28
#: Rows and columns of the object.
OBJECT = slice(12, 20)
CLASSES = ("blue-ish", "green-ish", "red-ish")


def object_mask() -> NDArray[np.uint8]:
    """Give the object's mask."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[OBJECT, OBJECT] = 255
    return mask


def scene(label: int, seed: int) -> NDArray[np.uint8]:
    """Draw an object and a background, of channel `label`, noisy so that no two are the same."""
    rng = np.random.default_rng((label, seed))
    pixels = rng.integers(0, 40, (SIDE, SIDE, 3), dtype=np.uint8)
    pixels[:, :, label] += 100
    pixels[OBJECT, OBJECT, label] += 100
    return pixels


def scene_folder(root: Path, *, each: int = 4) -> Path:
    """Write scenes into three class folders."""
    for label, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for i in range(each):
            Image.fromarray(scene(label, i)).save(root / name / f"{i}.png")
    return root


def mask_store(folder: Path, masks: Mapping[str, NDArray[np.uint8] | None]) -> Path:
    """Write a store of masks by path; None is one that failed."""
    names = Names(masks)
    side = next(mask.shape[0] for mask in masks.values() if mask is not None)
    rows = MaskRows.empty(list(masks), side)
    for row, mask in enumerate(masks.values()):
        if mask is None:
            rows.error[row] = "not an image"
        else:
            rows.masks[row], rows.shape[row] = mask, (SIDE, SIDE)
    about = {"shard_size": len(masks), "images": len(masks), "digest": names.digest()}
    plan = Plan(kind="masks", method="drawn", parameters={}, size=side, **about)
    folder.mkdir(parents=True)
    (folder / PLAN).write_text(plan.text())
    (folder / IMAGES).write_text(names.text())
    write_shard(folder / "shard-00000.h5", rows, plan.fingerprint())
    return folder


def scenes_and_masks(root: Path, *, each: int = 4) -> tuple[Path, Path]:
    """Write scenes and the store of their true masks."""
    images = scene_folder(root / "images", each=each)
    names = [f"{name}/{i}.png" for name in CLASSES for i in range(each)]
    return images, mask_store(root / "masks", dict.fromkeys(names, object_mask()))


class Border(nn.Module):
    """The mean colour of the outermost pixels: of the background alone."""

    def forward(self, images: Tensor) -> Tensor:
        edges = images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]
        return torch.cat(edges, 2).mean(2)


class Middle(nn.Module):
    """The mean colour of the middle: of the object alone."""

    def forward(self, images: Tensor) -> Tensor:
        half = images.shape[-1] // 2
        return images[:, :, half - 2 : half + 2, half - 2 : half + 2].mean((2, 3))


class Mean(nn.Module):
    """The mean colour."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def classifier(
    network: nn.Module,
    weight: Tensor | None = None,
    *,
    classes: tuple[str, ...] | None = CLASSES,
    size: int = SIZE,
) -> Classifier:
    """Tell classes by the strongest channel of what a network sees, or by other weights."""
    encoder = Encoder(network.eval(), size, Path("fake.pth"), step=5, space="unit")
    weight = torch.eye(3) if weight is None else weight
    return Classifier(encoder, weight, torch.zeros(len(weight)), classes)


def classifier_under_test(network: nn.Module, name: str = "fake") -> ClassifierUnderTest:
    """Judge such a classifier by the three classes."""
    return ClassifierUnderTest(name, classifier(network), torch.arange(3))


def in_to_in9() -> dict[str, int]:
    """Map ImageNet's classes as the challenge does: most to none, every one of nine to some."""
    return {str(i): i % 9 if i % 3 == 0 or i < 9 else -1 for i in range(1000)}


NINE = (
    *("00_dog", "01_bird", "02_vehicle", "03_reptile", "04_carnivore"),
    *("05_insect", "06_instrument", "07_primate", "08_fish"),
)


def nine_colours() -> Tensor:
    """Give the colour of each of nine classes, in [0, 1]: none is nearer to another than 0.3."""
    steps = torch.tensor([0.1, 0.5, 0.9])
    return torch.cartesian_prod(steps, steps, steps)[[0, 2, 6, 8, 13, 18, 20, 24, 26]]


def nearest(colours: Tensor) -> tuple[Tensor, Tensor]:
    """Give weight and bias whose largest score is that of the nearest colour."""
    return 2 * colours, -colours.square().sum(1)


def challenge_folder(
    root: Path, variations: tuple[str, ...], *, each: int = 2, side: int = 8
) -> Path:
    """Write a release in small: objects of the class's colour before backgrounds of a colour.

    Backgrounds: in mixed_next the next class's, in mixed_rand that of class 4, else its own.
    Images of only_bg_t are of one colour.
    """
    colours = (255 * nine_colours()).round().to(torch.uint8).numpy()
    middle = slice(side // 4, side - side // 4)
    for label, name in enumerate(NINE):
        for variation in variations:
            background_labels = {"mixed_next": (label + 1) % 9, "mixed_rand": 4}.get(
                variation, label
            )
            pixels = np.empty((side, side, 3), np.uint8)
            pixels[:] = colours[background_labels]
            if variation != "only_bg_t":
                pixels[middle, middle] = colours[label]
            folder = root / variation / "val" / name
            folder.mkdir(parents=True)
            for i in range(each):
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


def nine_classifier(network: nn.Module, rows: list[int] | None = None) -> Classifier:
    """Tell the nine by the nearest colour; given `rows`, as some rows of 1000 classes."""
    weight, bias = nearest(nine_colours())
    encoder = Encoder(network.eval(), 8, Path("nine.pth"), space="unit")
    if rows is None:
        return Classifier(encoder, weight, bias, NINE)
    many, low = torch.zeros(1000, 3), torch.full((1000,), -100.0)
    many[rows], low[rows] = weight, bias
    return Classifier(encoder, many, low)


def write_classifier(path: Path, classes: tuple[str, ...], *, size: int = SIZE) -> Path:
    """Write a narrow random network with a linear layer, as `dilo-eval linear` does."""
    model = ModelRecipe(arch="resnet18", stem="small", width=0.25)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = resnet(model).state_dict()
        width = (
            state["fc.weight"].shape[1] if "fc.weight" in state else state["fc.0.weight"].shape[1]
        )
        weight = torch.randn(len(classes), width)
    trunk = {name: value for name, value in state.items() if not name.startswith("fc.")}
    layers = trunk | {"fc.weight": weight, "fc.bias": torch.zeros(len(classes))}
    content = {
        "arch": "resnet18",
        "state_dict": {f"module.{name}": value for name, value in layers.items()},
        "dilo": {
            "recipe": {"model": dataclasses.asdict(model), "views": {"size": size}},
            "step": 5,
            "classes": list(classes),
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path
