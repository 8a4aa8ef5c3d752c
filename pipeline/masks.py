"""Make a store of masks: plan it, compute a shard, say what is there."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from dilo.pipeline.atomic import sweep
from dilo.pipeline.errors import ImageError, StoreError
from dilo.pipeline.images import Names, decode_reduced, find_images
from dilo.pipeline.plan import (
    PLAN,
    Plan,
    default_shard_size,
    load_names,
    publish,
    shard_path,
)
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.saliency.parameters import SuperpixelParameters
from dilo.pipeline.shards import MaskRows, read_failures, write_shard


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
        Path and reason of each image that could not be read.
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
    limit: int | None = None,
    trust_plan: bool = False,
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
    limit : int, optional
        Only the first so many images.
    trust_plan : bool, default False
        Take the list of a store that is there instead of reading the folder anew: for the
        tasks of an array, which would all read a million names from a shared disk at once.

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
    names = load_names(store, there) if trust_plan and there else find_images(images)[:limit]
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
    with _one_thread():
        rows = _rows(images, [names[i] for i in plan.rows(shard)], recipe, plan.size)
    write_shard(shard_path(store, shard), rows, plan.fingerprint())
    return Outcome(shard, len(rows.path), _failures(rows))


def compile_ahead(recipe: MaskRecipe, say: Callable[[str], None]) -> None:
    """Compile what a classical method runs, if this machine has not yet done so.

    Before workers start: so each of them loads what is there, and none compiles it again.

    Parameters
    ----------
    recipe : MaskRecipe
        What decides a mask.
    say : callable
        Writes a line for people, who may have to wait.
    """
    if not isinstance(recipe.method.parameters, SuperpixelParameters):
        return
    with _one_thread():
        from dilo.pipeline.saliency.compiled import nothing_compiled

        if nothing_compiled():
            say("compiling, which takes about 15 s once a machine")
        rng = np.random.default_rng(0)  # in one colour, a method would stop half way
        recipe.method(rng.integers(0, 256, (recipe.side, recipe.side, 3), np.uint8))


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


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Work on one core: workers share them, and no thread count reorders a sum."""
    # Read when numba is imported. Nothing of ours starts its pool; a foreign method might.
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    cv2.setNumThreads(1)
    with threadpool_limits(limits=1):
        yield


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
    return MaskRows(masks, shape, paths, errors)


def _failures(rows: MaskRows) -> dict[str, str]:
    """Name the images that failed."""
    return {path: error for path, error in zip(rows.path, rows.error, strict=True) if error}


@dataclass(frozen=True)
class Status:
    """How far a store is.

    Attributes
    ----------
    plan : Plan
        What it will hold.
    missing : list of int
        Shards that are still to do.
    done_images : int
        Images in the shards that are there.
    failed : dict of str to str
        Path and reason of each of them that could not be read.
    """

    plan: Plan
    missing: list[int]
    done_images: int
    failed: dict[str, str]


def missing_shards(store: Path, plan: Plan) -> list[int]:
    """List the shards that are still to do.

    Parameters
    ----------
    store : Path
        The store.
    plan : Plan
        Its plan.

    Returns
    -------
    list of int
        In order. A shard that is there is done.
    """
    return [i for i in range(plan.shards) if not shard_path(store, i).exists()]


def status(store: Path) -> Status:
    """Say how far a store is.

    Parameters
    ----------
    store : Path
        The store.

    Returns
    -------
    Status
        Counts, and the failures recorded so far.

    Raises
    ------
    StoreError
        If it is no store, or a shard cannot be read.
    """
    plan = Plan.load(store)
    missing = missing_shards(store, plan)
    images, failed = 0, {}
    for shard in sorted(set(range(plan.shards)) - set(missing)):
        count, bad = read_failures(shard_path(store, shard), plan.fingerprint())
        images += count
        failed.update(bad)
    return Status(plan, missing, images, failed)
