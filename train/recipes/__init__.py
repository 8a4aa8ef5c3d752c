"""Recipes as files, one each: those that come with dilo, a user's own, and their overrides."""

import tomllib
from collections.abc import Sequence
from typing import Any

from dilo.pipeline.common.textfiles import parse_toml
from dilo.pipeline.errors import ContentError, RecipeError
from dilo.train.recipes.files import PRETRAINING, RecipeKind, RecipeT, read_recipe, shipped_recipes
from dilo.train.recipes.listing import RecipeEntry, listing, recipe_list
from dilo.train.recipes.paper import PaperResult
from dilo.train.recipes.recipe import Recipe
from dilo.train.recipes.text import recipe_text

__all__ = [
    "PaperResult",
    "RecipeEntry",
    "listing",
    "load_recipe",
    "override_value",
    "published",
    "recipe_list",
    "recipe_of",
    "recipe_text",
    "shipped_recipes",
]


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, over its base if it names one, and override some of its values.

    Parameters
    ----------
    name : str
        A shipped recipe, or a file ending in ``.toml``.
    overrides : sequence of str
        ``section.key=value``, the value as TOML writes it; quotes may be left out.

    Returns
    -------
    Recipe
        Complete and checked.

    Raises
    ------
    RecipeError
        If there is no such recipe or base, a key is unknown, or a value does not fit.
    """
    return recipe_of(PRETRAINING, name, overrides)


def recipe_of(kind: RecipeKind[RecipeT], name: str, overrides: Sequence[str] = ()) -> RecipeT:
    """Read a recipe of any command, as `load_recipe` reads one of pretraining.

    Parameters
    ----------
    kind : RecipeKind
        Where those that come with dilo lie, and what they become.
    name : str
        One of them, or a file ending in ``.toml``.
    overrides : sequence of str
        ``section.key=value``.

    Returns
    -------
    recipe
        What `kind.make` makes, complete and checked.

    Raises
    ------
    RecipeError
        As `load_recipe`.
    """
    file = read_recipe(name, kind)
    for override in overrides:
        override_value(file.values, override)
    return kind.make(file.values, file.source)


def published(name: str) -> PaperResult | None:
    """Tell what the paper reports of a recipe.

    Parameters
    ----------
    name : str
        A shipped recipe, or a file ending in ``.toml``.

    Returns
    -------
    PaperResult or None
        The row that the recipe itself names; None where it names none.

    Raises
    ------
    RecipeError
        If there is no such recipe or base, or what it says of the paper does not fit.

    Examples
    --------
    >>> published("table2a-gs").top1, published("table2a-gs").masks
    (62.7, 'gs')
    """
    return read_recipe(name).published


def override_value(values: dict[str, Any], override: str) -> None:
    """Set one value, given as section.key=value."""
    key, equals, word = override.partition("=")
    if not equals:
        raise RecipeError(f"--set must be key=value, got {override!r}")
    try:
        value = parse_toml(f"value = {word}", f"--set {key}")["value"]
    except ContentError as error:
        if not isinstance(error.__cause__, tomllib.TOMLDecodeError):
            raise RecipeError(str(error)) from error
        value = word
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {override}: {section} is a value, not a section")
    values[last] = value
