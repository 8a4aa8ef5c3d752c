"""Stores of even masks, whose gray tells which image and which store they are of; their images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.masks.computed import mask_spec
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.store.create import StoreSpec, create_store, plan_store
from dilo.pipeline.store.maskrows import MaskRows
from dilo.pipeline.store.plan import Plan, shard_path
from dilo.pipeline.store.shardfile import write_shard


def even_store(
    folder: Path,
    levels: Mapping[str, int | str],
    *,
    method: str = "rbd",
    parameters: Mapping[str, Any] | None = None,
    size: int = 8,
) -> Path:
    """Write a store of an even mask an image, or of a failure with its reason, two a shard."""
    names = Names(levels)
    plan = StoreSpec("masks", method, parameters or {}, size).plan(names, 2)
    create_store(folder, plan, names)
    for shard in range(plan.shards):
        paths = [names[row] for row in plan.rows(shard)]
        rows = MaskRows.empty([escaped(path) for path in paths], size)
        for row, path in enumerate(paths):
            if isinstance(level := levels[path], str):
                rows.error[row] = level
            else:
                rows.masks[row] = level
        write_shard(shard_path(folder, shard), rows, plan.fingerprint())
    return folder


def even_images(root: Path, names: list[str]) -> Path:
    """Write square images of one colour each: the first red, and on towards blue."""
    for number, name in enumerate(names):
        pixels = np.zeros((30, 30, 3), np.uint8)
        pixels[:] = (255 - 20 * number, 0, 20 * number)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)
    return root


def create_mask_store(
    images: Path | ImageSelection,
    store: Path,
    *,
    recipe: MaskRecipe,
    size: int | None = None,
    shard_size: int | None = None,
    reuse_list: bool = False,
) -> Plan:
    """Begin a store of masks, or check that the one there is what is asked for."""
    spec = mask_spec(recipe, size)
    plan, names = plan_store(images, store, spec, shard_size=shard_size, reuse_list=reuse_list)
    create_store(store, plan, names)
    return plan
