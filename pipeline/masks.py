"""Make a store of masks: plan it, compute a shard."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dilo.pipeline.atomic import sweep
from dilo.pipeline.errors import ImageError, StoreError
from dilo.pipeline.finding import find_images, read_list
from dilo.pipeline.images import decode_reduced
from dilo.pipeline.names import Names, escaped
from dilo.pipeline.plan import (
    PLAN,
    Plan,
    default_shard_size,
    load_names,
    publish,
    shard_path,
)
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.shards import MaskRows, write_shard
from dilo.pipeline.workers import one_core


@dataclass(frozen=True)
class Outcome:
    """What a shard came to.

    Attributes
    ----------
    shard : int
        Its number.
    images : int
        Rows in it.
    failed : dict of str to str
        Path, escaped, and reason of each image that could not be read.
    """

    shard: int
    images: int
    failed: dict[str, str]


def prepare(
    images: Path,
    store: Path,
    *,
    recipe: MaskRecipe,
    size: int,
    shard_size: int | None = None,
    listed: Path | None = None,
    include: Iterable[str] = (),
    limit: int | None = None,
    trust_plan: bool = False,
    found: Callable[[int], object] | None = None,
) -> Plan:
    """Plan a store, or check that the one there is what is asked for.

    Parameters
    ----------
    images : Path
        Folder of images.
    store : Path
        The store; made if it is missing, and swept of what killed writers left.
    recipe : MaskRecipe
        What decides a mask.
    size : int
        Side of a mask, in pixels.
    shard_size : int, optional
        Images a shard; unless given, that of the store that is there, or `default_shard_size`.
    listed : Path, optional
        A list of images, as `read_list` reads it; unless given, all below the folder.
    include : iterable of str
        Only images that match one of these globs, as `find_images` compares them.
    limit : int, optional
        Only the first so many of them.
    trust_plan : bool, default False
        Take the list of a store that is there instead of reading the folder anew: for the
        tasks of an array, which would all read a million names from a shared disk at once.
    found : callable, optional
        Told now and then how many images were seen in the folder so far.

    Returns
    -------
    Plan
        The store's.

    Raises
    ------
    DiloError
        If the folder or the store cannot serve.
    """
    there = Plan.load(store) if (store / PLAN).exists() else None
    if trust_plan and there:
        names = load_names(store, there)
    elif listed is not None:
        names = read_list(listed, images, include)[:limit]
    else:
        names = find_images(images, include, found=found)[:limit]
    if shard_size is None and there:
        shard_size = there.shard_size
    plan = mask_plan(names, recipe=recipe, size=size, shard_size=shard_size)
    publish(store, plan, names)
    sweep(store)
    return plan


def mask_plan(
    names: Names, *, recipe: MaskRecipe, size: int, shard_size: int | None = None
) -> Plan:
    """Plan the masks of a list of images.

    Parameters
    ----------
    names : Names
        The images, in order.
    recipe : MaskRecipe
        What decides a mask.
    size : int
        Side of a mask, in pixels.
    shard_size : int, optional
        Images a shard; unless given, it follows from their number.

    Returns
    -------
    Plan
        With every number that decides a mask.
    """
    return Plan(
        kind="masks",
        method=recipe.name,
        parameters=recipe.parameters(),
        size=size,
        shard_size=shard_size or default_shard_size(len(names)),
        images=len(names),
        digest=names.digest(),
    )


def build_shard(images: Path, store: Path, shard: int) -> Outcome:
    """Compute one shard of a planned store and publish it. The unit of work.

    Parameters
    ----------
    images : Path
        Folder that the store's paths are relative to.
    store : Path
        The store; its plan says the rest, so that a task is this call alone.
    shard : int
        Number of the shard.

    Returns
    -------
    Outcome
        How many images it holds and which of them failed.
    """
    plan = Plan.load(store)
    recipe = planned_recipe(store, plan)
    names = _names(store, plan.digest)
    with one_core():
        rows = _rows(images, [names[i] for i in plan.rows(shard)], recipe, plan.size)
    write_shard(shard_path(store, shard), rows, plan.fingerprint())
    return Outcome(shard, len(rows.path), _failures(rows))


def planned_recipe(store: Path, plan: Plan) -> MaskRecipe:
    """Rebuild what decides a store's masks.

    Parameters
    ----------
    store : Path
        The store, for the message.
    plan : Plan
        Its plan.

    Returns
    -------
    MaskRecipe
        Method, refinement and parameters.

    Raises
    ------
    StoreError
        If this version of dilo makes other masks by that name.
    """
    try:
        return MaskRecipe.planned(plan.method, plan.parameters)
    except ValueError as error:
        raise StoreError(
            f"{store / PLAN} asks for masks that this version of dilo does not make: {error}: "
            f"use the version that wrote it, or make a fresh store"
        ) from error


@functools.lru_cache(maxsize=1)
def _names(store: Path, digest: str) -> Names:
    """Read the list once a process; by its digest, for a cluster's workers outlive a store."""
    return load_names(store, Plan.load(store))


def _rows(images: Path, paths: list[str], recipe: MaskRecipe, size: int) -> MaskRows:
    """Compute the masks of some images; one that cannot be read becomes a row with a reason."""
    masks = np.zeros((len(paths), size, size), np.uint8)
    shape = np.zeros((len(paths), 2), np.int32)
    errors = [""] * len(paths)
    for row, path in enumerate(paths):
        try:
            image, whole = decode_reduced(images / path, recipe.side)
        except ImageError as error:
            errors[row] = str(error)
            continue
        try:
            masks[row] = recipe(image, size)
            shape[row] = whole
        # A method that stumbles over one image must not take the others with it.
        except Exception as error:
            errors[row] = f"{recipe.name} failed: {type(error).__name__}: {error}"
    return MaskRows(masks, shape, [escaped(path) for path in paths], errors)


def _failures(rows: MaskRows) -> dict[str, str]:
    """Name the images that failed."""
    return {path: error for path, error in zip(rows.path, rows.error, strict=True) if error}
