"""The kinds of stores: who makes their rows; what those are, `layouts` says."""

from pathlib import Path

from dilo.pipeline.backgrounds.cropping import background_maker
from dilo.pipeline.compute.work import Maker, mask_by_mask
from dilo.pipeline.masks.computed import planned_recipe, recipe_maker
from dilo.pipeline.masks.imported import IMPORTED, imported_maker
from dilo.pipeline.masks.network import NetworkRun
from dilo.pipeline.store.plan import Plan, names_once


def maker_of(store: Path, plan: Plan, given: Path | None, run: NetworkRun | None = None) -> Maker:
    """Prepare what makes the rows of a planned store.

    Parameters
    ----------
    store : Path
        The store.
    plan : Plan
        Its plan.
    given : Path or None
        What it is made of besides the images: ready masks, as PNGs or as a store.
    run : NetworkRun, optional
        How the network runs that makes it.

    Returns
    -------
    callable
        From some images to the making of their rows.

    Raises
    ------
    DiloError
        If the plan is not one that this version of dilo follows, or `given` cannot serve.
    """
    if plan.kind == "backgrounds":
        return background_maker(store, plan, given)
    if plan.method == IMPORTED:
        return mask_by_mask(imported_maker(store, plan, given), plan.size)
    recipe = planned_recipe(store, plan)
    return recipe_maker(recipe, plan.size, names_once(store, plan.digest), run)
