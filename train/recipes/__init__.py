"""Recipes as files, one each: those that come with dilo, a user's own, and their overrides."""

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from dilo.pipeline.errors import RecipeError
from dilo.train.recipe import Recipe, recipe_from_dict


def shipped_recipes() -> list[str]:
    """Name the recipes that come with dilo.

    Returns
    -------
    list of str
        What --recipe takes besides a file.
    """
    folder = resources.files("dilo.train.recipes")
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and override some of its values.

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
        If there is no such recipe, a key is unknown, or a value does not fit.
    """
    if name.endswith(".toml"):
        text, source = _read_file(Path(name)), name
    elif name in shipped_recipes():
        text = (resources.files("dilo.train.recipes") / f"{name}.toml").read_text("utf-8")
        source = f"recipe {name}"
    else:
        raise RecipeError(
            f"--recipe must be a .toml file or one of {', '.join(shipped_recipes())}, got {name!r}"
        )
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source} must be TOML: {error}") from error
    for override in overrides:
        _override(values, override)
    return recipe_from_dict(values, source)


def _read_file(path: Path) -> str:
    """Read a user's recipe."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"--recipe {path} cannot be read: {error}") from error


def _override(values: dict[str, Any], override: str) -> None:
    """Set one value, given as section.key=value."""
    key, equals, word = override.partition("=")
    if not equals:
        raise RecipeError(f"--set must be key=value, got {override!r}")
    try:
        value = tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        value = word
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {override}: {section} is a value, not a section")
    values[last] = value


def recipe_text(recipe: Recipe) -> str:
    """Write a recipe as TOML, complete, as `load_recipe` reads it.

    Parameters
    ----------
    recipe : Recipe
        What to write.

    Returns
    -------
    str
        Values first, then a section for each part, and for each part of that.
    """
    return "\n".join(_lines(dataclasses.asdict(recipe), "")) + "\n"


def _lines(values: Mapping[str, Any], section: str) -> list[str]:
    """Write the values of a section, then the sections in it."""
    # JSON writes strings, numbers and lists as TOML does.
    lines = [f"{k} = {json.dumps(v)}" for k, v in values.items() if not isinstance(v, dict)]
    for key, inner in values.items():
        if isinstance(inner, dict):
            name = f"{section}{key}"
            lines += ["", f"[{name}]", *_lines(inner, f"{name}.")]
    return lines
