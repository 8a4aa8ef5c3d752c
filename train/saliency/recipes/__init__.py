"""The recipes of networks for saliency that come with dilo, as files, and their list."""

from collections.abc import Sequence
from typing import Final

from dilo.train.recipes import recipe_of
from dilo.train.recipes.files import Shelf, read_recipe, shipped_recipes
from dilo.train.saliency.recipe import SaliencyRecipe, saliency_recipe

SHELF: Final = Shelf("dilo.train.saliency.recipes", saliency_recipe, "dilo-train saliency --recipe")


def load_saliency_recipe(name: str, overrides: Sequence[str] = ()) -> SaliencyRecipe:
    """Read a recipe, over its base if it names one, and override some of its values.

    Parameters
    ----------
    name : str
        A shipped recipe, or a file ending in ``.toml``.
    overrides : sequence of str
        ``section.key=value``, the value as TOML writes it; quotes may be left out.

    Returns
    -------
    SaliencyRecipe
        Complete and checked.

    Raises
    ------
    RecipeError
        If there is no such recipe or base, a key is unknown, or a value does not fit.

    Examples
    --------
    >>> load_saliency_recipe("basnet", ["optimizer.epochs=20"]).optimizer.epochs
    20
    """
    return recipe_of(SHELF, name, overrides)


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
