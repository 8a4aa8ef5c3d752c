"""A training run small enough for a test: photographs, masks, a recipe in seconds."""

from pathlib import Path

from support.photographs import photograph_folder

from dilo.pipeline.build import Builder
from dilo.pipeline.masks import prepare
from dilo.pipeline.saliency import MaskRecipe
from dilo.train.recipe import Recipe
from dilo.train.recipes import load_recipe

SMALL = (
    "model.dim=8",
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
    plan = prepare(images, store, recipe=MaskRecipe.named("rbd"), size=32)
    for shard in range(plan.shards):
        Builder(images, store)(shard)
    return images, store
