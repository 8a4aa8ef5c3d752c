"""Images with an object in each, its mask, and a training on them that takes seconds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from support.runs import losses
from support.stores import create_mask_store

from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.saliency import MaskRecipe
from dilo.train.engine import checkpoint
from dilo.train.engine.trainer import Result
from dilo.train.recipes import recipe_of
from dilo.train.recipes.saliency_recipe import SALIENCY, SaliencyRecipe
from dilo.train.runtime.options import RunOptions
from dilo.train.saliency.pairs import ImageMaskPairs, find_pairs
from dilo.train.saliency.train import Data, train_saliency

SMALL = (
    "model.width=4",
    "data.size=64",
    "data.crop=32",
    "optimizer.batch=4",
    "optimizer.epochs=2",
    "optimizer.warmup=0",
    "noise.trust_from=0.5",
)


def objects_and_masks(root: Path, count: int = 11) -> tuple[Path, Path]:
    """Write bright discs on dark noise as JPEGs, and their masks as PNGs."""
    images, masks = root / "images", root / "truth"
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        height, width = 50 + number % 3, 60 - number % 4
        rows, columns = np.mgrid[:height, :width]
        centre = rng.uniform(0.3, 0.7, 2) * (height, width)
        disc = np.hypot(rows - centre[0], columns - centre[1]) < rng.uniform(10, 18)
        image = np.where(disc[..., None], rng.integers(150, 256, 3), rng.integers(0, 100, 3))
        noisy = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(images / f"{number:03d}.jpg")
        Image.fromarray((disc * 255).astype(np.uint8)).save(masks / f"{number:03d}.png")
    return images, masks


def store_of(images: Path, store: Path) -> Path:
    """Make the store of their masks by RBD."""
    plan = create_mask_store(images, store, recipe=MaskRecipe.create("rbd"), size=32, shard_size=1)
    for shard in range(plan.shards):
        ShardBuilder(FolderSource(images), store, MethodSource()).build(shard)
    return store


def small(*overrides: str, name: str = "label-free") -> SaliencyRecipe:
    """Two epochs of batches of four."""
    return recipe_of(SALIENCY, name, [*SMALL, *overrides])


def pairs_of(made: tuple[Path, Path]) -> ImageMaskPairs:
    """Pair them."""
    return find_pairs(*made)


def taught(
    made: tuple[Path, Path], run: Path, machine: RunOptions, *overrides: str, **more: Any
) -> Result:
    """Train on them."""
    data = Data(pairs=find_pairs(*made), **more)
    return train_saliency(small(*overrides), data, run, machine, lambda line: None)


def weights_after(
    made: tuple[Path, Path], run: Path, machines: Sequence[RunOptions]
) -> dict[str, Any]:
    """Train in as many goes; give step, losses, and a sum of all the weights to the last bit."""
    for machine in machines:
        result = taught(made, run, machine)
    weights = checkpoint.load(result.checkpoint)["student"].values()
    total = sum(float(value.double().abs().sum()) for value in weights)
    return {"step": result.step, "losses": losses(run), "weights": total}


def same_state(one: Path, other: Path, step: int) -> bool:
    """Tell whether two runs have come to the same checkpoint, to the last bit."""
    a, b = (checkpoint.load(checkpoint.checkpoint_path(run, step)) for run in (one, other))
    return _same({k: a[k] for k in a}, {k: b[k] for k in b})


def _same(a: Any, b: Any) -> bool:
    """Compare nested values."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)
