"""What a store of masks is: its plan, and the mask of an image by that plan."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.atomic import sweep
from dilo.pipeline.errors import StoreError
from dilo.pipeline.finding import find_images, read_list
from dilo.pipeline.images import decode_reduced
from dilo.pipeline.names import Names
from dilo.pipeline.plan import (
    PLAN,
    Plan,
    default_shard_size,
    load_names,
    publish,
)
from dilo.pipeline.saliency import MaskRecipe

#: A mask (S, S), and the height and width of its image.
MaskOf = tuple[NDArray[np.uint8], tuple[int, int]]


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
    names = _listed(store, there) if trust_plan and there else None
    if names is None and listed is not None:
        names = read_list(listed, images, include)[:limit]
    if names is None:
        names = find_images(images, include, found=found)[:limit]
    if shard_size is None and there:
        shard_size = there.shard_size
    plan = mask_plan(names, recipe=recipe, size=size, shard_size=shard_size)
    publish(store, plan, names)
    sweep(store)
    return plan


def _listed(store: Path, plan: Plan) -> Names | None:
    """Read the list of a store, unless another task is only now writing it."""
    try:
        return load_names(store, plan)
    except StoreError:
        return None


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


def mask_maker(store: Path, plan: Plan) -> Callable[[str, bytes], MaskOf]:
    """Prepare what makes the masks of a planned store.

    Parameters
    ----------
    store : Path
        The store, for the message.
    plan : Plan
        Its plan.

    Returns
    -------
    callable
        From an image's path and the content of its file to its mask, an (S, S) uint8 array,
        and the height and width of the image.

    Raises
    ------
    StoreError
        If this version of dilo makes other masks by that name.
    """
    recipe = planned_recipe(store, plan)

    def make(path: str, content: bytes) -> MaskOf:
        image, whole = decode_reduced(content, recipe.side)
        return recipe(image, plan.size), whole

    return make
