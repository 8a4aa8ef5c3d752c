"""Masks by a method: what a store of them is, who makes its rows, and a store in one call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.compute.build import build_store
from dilo.pipeline.compute.shard import ShardBuilder, ShardOpener, per_image_work
from dilo.pipeline.compute.worker import single_threaded
from dilo.pipeline.errors import DiloError, StoreError
from dilo.pipeline.images.decoding import decode_reduced
from dilo.pipeline.images.names import Names
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.masks.gpus import require_gpus
from dilo.pipeline.masks.network import (
    InferenceSettings,
    check_weights,
    open_network,
)
from dilo.pipeline.saliency import MaskRecipe
from dilo.pipeline.saliency.parameters import SuperpixelParameters
from dilo.pipeline.saliency.recipe import recipe_by_weights
from dilo.pipeline.saliency.weights import weights_file
from dilo.pipeline.store.create import StoreSpec, create_store, plan_store
from dilo.pipeline.store.maskstore import MaskStore
from dilo.pipeline.store.plan import PLAN, Plan, cached_names

#: A mask (S, S), and the height and width of its image.
MaskAndShape = tuple[NDArray[np.uint8], tuple[int, int]]


def mask_spec(recipe: MaskRecipe, size: int | None = None) -> StoreSpec:
    """Describe a store of a recipe's masks: of this side, or of the recipe's own."""
    parameters = recipe.parameters()
    if recipe.is_network and not parameters["weights"]:
        raise DiloError(f"--method {recipe.name} is a network: give its --weights FILE")
    return StoreSpec("masks", recipe.name, parameters, recipe.mask_size(size))


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
        return MaskRecipe.from_plan(plan.method, plan.parameters)
    except ValueError as error:
        raise StoreError(
            f"{store / PLAN} asks for masks that this version of dilo does not make: {error}: "
            f"use the version that wrote it, or make a fresh store"
        ) from error


@dataclass(frozen=True)
class MethodSource:
    """Masks by the method of a store's plan."""

    #: How its network runs, if it is one.
    network: InferenceSettings | None = None

    def open(self, store: Path, plan: Plan) -> ShardOpener:
        """Open the method, or refuse one that this version of dilo does not have."""
        recipe = planned_recipe(store, plan)
        names = cached_names(store, plan.digest)
        return open_recipe(recipe, plan.size, names, self.network)


def open_recipe(
    recipe: MaskRecipe, size: int, names: Names, inference: InferenceSettings | None = None
) -> ShardOpener:
    """Open what makes a recipe's masks, of this side, of the images of a store."""
    if recipe.is_network:
        return open_network(recipe, size, names, inference)

    def make(path: str, content: bytes) -> MaskAndShape:
        image, shape = decode_reduced(content, recipe.side)
        return recipe(image, size), shape

    return per_image_work(make, size)


def make_masks(
    images: Path | str | ImageSelection,
    out: Path | str,
    method: str = "rbd",
    *,
    refine: str | None = None,
    settings: Mapping[str, Any] | None = None,
    size: int | None = None,
    shard_size: int | None = None,
    weights: Path | str | None = None,
    device: str = "cpu",
    workers: int = -1,
    say: Callable[[str], None] | None = None,
) -> MaskStore:
    """Make a store of the masks of all images below a folder, as `dilo-prep masks` does.

    A store that exists already is resumed: finished shards stay, and if all are finished it is
    only opened. An interrupt loses only the shards that were being computed. An image that cannot
    be read has a mask of zeros, and the store says why.

    Parameters
    ----------
    images : Path, str or ImageSelection
        Folder of images, at any depth.
    out : Path or str
        The store; made if it is missing.
    method : str, default "rbd"
        A saliency method: "rbd", "gs", "mc", "mr", "consensus", a network, or one that another
        package registers.
    refine : str, optional
        "grabcut" fits each mask to the edges of its image.
    settings : mapping, optional
        Values for some of the method's parameters, and, as ``refine.NAME``, for the
        refinement's.
    size : int, optional
        Side of a mask, in pixels; unless given, 224, or what a network makes.
    shard_size : int, optional
        Images a shard; unless given, chosen from their number.
    weights : Path or str, optional
        Of a network: its file of weights, or the run that trained it.
    device : {"cpu", "cuda"}, default "cpu"
        Of a network: where it computes.
    workers : int, default -1
        Worker processes: -1 is one for each core, or for each GPU.
    say : callable, optional
        Takes lines for people, about how far it is; on a terminal, there is a bar then.

    Returns
    -------
    MaskStore
        The store, ready to be read.

    Raises
    ------
    ValueError
        If a name or a value of the method is unknown, or weights are needless.
    DiloError
        If there are no images, the folder holds another store, weights are missing or do not fit,
        or a disk or the machine fails.

    Examples
    --------
    >>> store = make_masks("photos", "masks", refine="grabcut")  # doctest: +SKIP
    >>> store["a/b.jpg"].shape  # doctest: +SKIP
    (224, 224)
    """
    selection = ImageSelection.of(images)
    weights = Path(weights) if weights is not None else None
    recipe = recipe_by_weights(method, refine, settings or {}, weights)
    spec, store = mask_spec(recipe, size), Path(out).absolute()
    plan, names = plan_store(selection, store, spec, shard_size=shard_size)
    inference = None
    if weights is not None:
        if device == "cuda" and workers == -1:
            workers = require_gpus(spec.parameters["precision"])
        file = weights_file(weights).absolute()
        inference = InferenceSettings(file, device, processes=joblib.effective_n_jobs(workers))
        if not (store / PLAN).exists():
            check_weights(recipe, file, names)
    create_store(store, plan, names)
    content = selection.open(store)
    content.keep(store)
    build_store(
        ShardBuilder(content.absolute(), store, MethodSource(inference)),
        plan,
        jobs=workers,
        before_start=lambda: precompile(recipe, say or (lambda line: None)),
        say=say,
    )
    return MaskStore(store)


def precompile(recipe: MaskRecipe, say: Callable[[str], None]) -> None:
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
    with single_threaded():
        from dilo.pipeline.common.compiled import announce_compiling

        rng = np.random.default_rng(0)  # in one colour, a method would stop half way
        image = rng.integers(0, 256, (recipe.side, recipe.side, 3), np.uint8)
        with announce_compiling(say, "compiling: about 15 s, once per machine"):
            if classical:
                recipe(image, recipe.side)
            else:  # a network compiles nothing, and is opened by the workers alone
                recipe.to_mask(image, rng.random(image.shape[:2]), recipe.side)
