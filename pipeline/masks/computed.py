"""What a store of masks is: its plan, and the mask of an image by that plan."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.compute.shard import ShardOpener, per_image_work
from dilo.pipeline.compute.worker import one_core
from dilo.pipeline.errors import DiloError, StoreError
from dilo.pipeline.images.decoding import decode_reduced
from dilo.pipeline.images.listing import Selection
from dilo.pipeline.images.names import Names
from dilo.pipeline.masks.network import NetworkRun, open_network
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.saliency.parameters import SuperpixelParameters
from dilo.pipeline.store.create import PlanOf, plan_store, planner, start_store
from dilo.pipeline.store.plan import PLAN, Plan, names_once

#: A mask (S, S), and the height and width of its image.
MaskOf = tuple[NDArray[np.uint8], tuple[int, int]]


def prepare(
    images: Path | Selection,
    store: Path,
    *,
    recipe: MaskRecipe,
    size: int | None = None,
    shard_size: int | None = None,
    trust_plan: bool = False,
) -> Plan:
    """Begin a store of masks, or check that the one there is what is asked for.

    Parameters
    ----------
    images : Path or Selection
        Which images; a folder means all below it.
    store : Path
        The store; made if it is missing, and swept of what killed writers left.
    recipe : MaskRecipe
        What decides a mask.
    size : int, optional
        Side of a mask, in pixels; unless given, what the recipe says.
    shard_size : int, optional
        Images a shard; as for `plan_store`.
    trust_plan : bool, default False
        Whether to take the list of a store that is there; as for `plan_store`.

    Returns
    -------
    Plan
        The store's.

    Raises
    ------
    DiloError
        If the folder or the store cannot serve.
    """
    plan_of = mask_plan(recipe, size)
    plan, names = plan_store(images, store, plan_of, shard_size=shard_size, trust_plan=trust_plan)
    start_store(store, plan, names)
    return plan


def mask_plan(recipe: MaskRecipe, size: int | None = None) -> PlanOf:
    """Say what the plan of a store of masks is.

    Parameters
    ----------
    recipe : MaskRecipe
        What decides a mask.
    size : int, optional
        Side of a mask, in pixels; unless given, what the recipe says.

    Returns
    -------
    callable
        From images and shard size to a plan with every number that decides a mask.

    Raises
    ------
    DiloError
        If the recipe is of a network, and of no weights.
    """
    parameters = recipe.parameters()
    if recipe.is_network and not parameters["weights"]:
        raise DiloError(f"--method {recipe.name} is a network: give its --weights FILE")
    return planner("masks", recipe.name, parameters, recipe.size(size))


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


@dataclass(frozen=True)
class MethodSource:
    """Masks by the method of a store's plan."""

    #: How its network runs, if it is one.
    network: NetworkRun | None = None

    def open(self, store: Path, plan: Plan) -> ShardOpener:
        """Open the method, or refuse one that this version of dilo does not have."""
        recipe = planned_recipe(store, plan)
        names = names_once(store, plan.digest)
        return open_recipe(recipe, plan.size, names, self.network)


def open_recipe(
    recipe: MaskRecipe, size: int, names: Names, run: NetworkRun | None = None
) -> ShardOpener:
    """Open what makes a recipe's masks, of this side, of the images of a store."""
    if recipe.is_network:
        return open_network(recipe, size, names, run)

    def make(path: str, content: bytes) -> MaskOf:
        image, whole = decode_reduced(content, recipe.side)
        return recipe(image, size), whole

    return per_image_work(make, size)


def compile_ahead(recipe: MaskRecipe, say: Callable[[str], None]) -> None:
    """Compile what a classical method or a refinement runs, if this machine has not yet done so.

    Before workers start: so each of them loads what is there, and none compiles it again.

    Parameters
    ----------
    recipe : MaskRecipe
        What decides a mask.
    say : callable
        Writes a line for people, who may have to wait.
    """
    classical = isinstance(recipe.method.parameters, SuperpixelParameters)
    if not classical and recipe.refinement is None:
        return
    with one_core():
        from dilo.pipeline.common.compiled import saying_what_takes_long

        rng = np.random.default_rng(0)  # in one colour, a method would stop half way
        image = rng.integers(0, 256, (recipe.side, recipe.side, 3), np.uint8)
        with saying_what_takes_long(say, "compiling, which takes about 15 s once a machine"):
            if classical:
                recipe(image, recipe.side)
            else:  # a network compiles nothing, and is opened by the workers alone
                recipe.finished(image, rng.random(image.shape[:2]), recipe.side)
