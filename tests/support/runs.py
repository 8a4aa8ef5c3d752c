"""A training run small enough for a test: photographs, masks, a recipe in seconds."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch
from support.photographs import photograph_folder
from support.stores import create_mask_store

from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.saliency import MaskRecipe
from dilo.train.data.images import find_image_set
from dilo.train.engine import checkpoint
from dilo.train.engine.pretrain import train
from dilo.train.recipes import load_recipe
from dilo.train.recipes.recipe import Recipe
from dilo.train.runtime.options import RunOptions

SMALL = (
    "model.dim=8",
    "model.width=0.25",
    "moco.queue=12",
    "model.bn_groups=2",
    "views.size=16",
    "optimizer.batch=4",
    "optimizer.epochs=2",
    "optimizer.lr=0.06",
    "optimizer.lr_batch=4",
)


def small_recipe(*overrides: str) -> Recipe:
    """MoCo v2 on 16 px views, two epochs of batches of four."""
    return load_recipe("moco-v2-small", [*SMALL, *overrides])


def photographs_and_masks(root: Path, count: int = 13) -> tuple[Path, Path]:
    """Write photographs and the store of their masks."""
    images, store = photograph_folder(root / "images", count), root / "masks"
    plan = create_mask_store(images, store, recipe=MaskRecipe.create("rbd"), size=32, shard_size=1)
    for shard in range(plan.shards):
        ShardBuilder(FolderSource(images), store, MethodSource()).build(shard)
    return images, store


LARS = ("optimizer.name=lars", "optimizer.by=step", "optimizer.warmup=0.5")
#: All that docs/train-recipes.md has from the literature.
OPTIONS = ("moco.swap_negatives=true", "views.min_object=0.5", "paste.views=query")
#: For each method, what makes the small recipe one of its own; and MoCo with its options.
METHODS_SMALL = {
    "moco": (),
    "moco-options": ("method=moco", *OPTIONS, "paste.from_epoch=1", "paste.probability=0.7"),
    "instdisc": ("memory.negatives=6",),
    "cmc": ("memory.negatives=6", "views.space=lab"),
    "simclr": ("model.head=simclr", "views.space=unit", *LARS),
    "supervised": ("model.head=linear", "paste.probability=0"),
    "naive": (),
}


def method_recipe(method: str, *overrides: str) -> Recipe:
    """Three steps an epoch of any method, in two batch-norm groups."""
    stem = "model.stem=small"  # or batch norm, of two values each, makes much of rounding
    return small_recipe(f"method={method}", stem, *METHODS_SMALL[method], *overrides)


def machine(**options: Any) -> RunOptions:
    """One process on the CPU that records every step."""
    return RunOptions(device=torch.device("cpu"), workers=0, log_every=1, **options)


def undisturbed(method: str, images: Path, masks: Path, run: Path) -> dict[str, Any]:
    """Train from the beginning to the end; give every loss and a digest of all that was learnt."""
    result = train(method_recipe(method), find_image_set(images, masks), run, machine(), _quiet)
    return _learnt(run, result.step)


def interrupted(method: str, images: Path, masks: Path, run: Path) -> dict[str, Any]:
    """Train likewise, but stop after the first step and after the second."""
    recipe, source = method_recipe(method), find_image_set(images, masks)
    for stop in (1e-9, 1e-9, math.inf):
        result = train(recipe, source, run, machine(max_minutes=stop), _quiet)
    return _learnt(run, result.step)


def losses(run: Path) -> list[float]:
    """Read the losses of a run that recorded every step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def _learnt(run: Path, step: int) -> dict[str, Any]:
    """Read what a run came to."""
    content = checkpoint.load(checkpoint.checkpoint_path(run, step))
    digest = hashlib.sha256()
    for name, value in sorted(content["state_dict"].items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    for state in content["optimizer"]["state"].values():
        digest.update(state["momentum_buffer"].numpy().tobytes())
    return {"losses": losses(run), "digest": digest.hexdigest()}


def _quiet(line: str) -> None:
    """Say nothing."""
