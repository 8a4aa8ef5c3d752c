"""The recipes of networks for saliency that come with dilo, as files, and their list."""

from typing import Final

from dilo.train.recipes.files import Shelf, read_recipe, shipped_recipes
from dilo.train.saliency.recipe import saliency_recipe

SHELF: Final = Shelf("dilo.train.saliency.recipes", saliency_recipe, "dilo-train saliency --recipe")


def saliency_listing() -> str:
    """Write the list of the recipes for a terminal.

    Returns
    -------
    str
        A line a recipe: its name, and what it is.
    """
    names = shipped_recipes(SHELF)
    width = max(map(len, names))
    told = (f"  {name:{width}}  {read_recipe(name, SHELF).summary}" for name in names)
    return "\n".join(["Recipes of dilo-train saliency", *told])
