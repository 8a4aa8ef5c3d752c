"""Stores of backgrounds small enough for a test, and a shard of three rows."""

from pathlib import Path

import simplejpeg
from support.photographs import photograph
from support.shards import PATHS
from support.stores import create_mask_store

from dilo.pipeline.backgrounds.cropping import BackgroundSource
from dilo.pipeline.backgrounds.recipe import BackgroundRecipe
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.masks.computed import MethodSource
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.backgroundrows import NO_WINDOW, BackgroundRows
from dilo.pipeline.store.create import create_store, plan_store
from dilo.pipeline.store.plan import Plan


def masks_of(images: Path, store: Path) -> MaskStore:
    """Make masks of 32 x 32."""
    plan = create_mask_store(images, store, recipe=MaskRecipe.create("rbd"), size=32, shard_size=3)
    for shard in range(plan.shards):
        ShardBuilder(FolderSource(images), store, MethodSource()).build(shard)
    return MaskStore(store)


def crops_by(masks: MaskStore, **options: int) -> BackgroundRecipe:
    """Give a recipe of small crops."""
    numbers = {"response": 40, "min_side": 8, **options}
    return BackgroundRecipe(kind="crops", masks=masks.fingerprint, **numbers)


def planned(
    images: Path | ImageSelection, store: Path, recipe: BackgroundRecipe, *, size: int = 24
) -> Plan:
    """Begin a store, four images a shard."""
    plan, names = plan_store(images, store, recipe.spec(size), shard_size=4)
    create_store(store, plan, names)
    return plan


def built(
    images: Path,
    store: Path,
    recipe: BackgroundRecipe,
    masks: MaskStore | None = None,
    *,
    size: int = 24,
) -> Path:
    """Make a store."""
    plan = planned(images, store, recipe, size=size)
    builder = ShardBuilder(
        FolderSource(images), store, BackgroundSource(masks.folder if masks else None)
    )
    for shard in range(plan.shards):
        builder.build(shard)
    return store


def plan(kind: str = "crops") -> Plan:
    """Give the plan of a store of the shard below."""
    images = {"shard_size": 3, "images": 3, "digest": Names(PATHS).digest()}
    parameters = BackgroundRecipe(kind=kind).parameters()
    return Plan(kind="backgrounds", method=kind, parameters=parameters, size=24, **images)


def rows() -> BackgroundRows:
    """Cut two windows of the first image, fail in the second, find none in the third."""
    made = BackgroundRows.empty(PATHS)
    made.shape[0] = [60, 80]
    made.bytes[:] = [1234, 99, -1]
    made.file_crc32[:] = [0xFFFFFFFF, 2, 0]
    made.error[1] = "not an image: häßlich"
    made.skipped[2] = NO_WINDOW
    made.boxes[0] = [(0, 0, 24, 30), (30, 50, 30, 30)]
    made.jpegs[0] = [simplejpeg.encode_jpeg(photograph(i, 24, 30 - 6 * i)) for i in range(2)]
    return made
