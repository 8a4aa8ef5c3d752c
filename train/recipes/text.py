"""Recipes as text: TOML, with or without what each key means."""

import dataclasses
import inspect
import json
from collections.abc import Mapping
from typing import Any

from dilo.train.recipes.recipe import RunRecipe


def recipe_text(recipe: RunRecipe, *, comments: bool = False) -> str:
    """Write a recipe as TOML, complete, as `recipe_of` reads it.

    Parameters
    ----------
    recipe : RunRecipe
        What to write.
    comments : bool
        Whether to write above each key and each section what it means.

    Returns
    -------
    str
        Values first, then a section for each part, and for each part of that.
    """
    return "\n".join(_lines(recipe, "", comments=comments)) + "\n"


def _lines(part: object, section: str, *, comments: bool) -> list[str]:
    """Write the values of a section, then the sections in it."""
    lines, sections = [], []
    meanings = _meanings(type(part)) if comments else {}
    for key, value in _values(part).items():
        meaning = meanings.get(key, [])
        if _is_section(value):
            if comments and not meaning:
                meaning = _title(type(value))
            name = f"{section}{key}"
            inner = _lines(value, f"{name}.", comments=comments)
            sections += ["", *meaning, f"[{name}]", *inner]
        else:
            # JSON writes strings, numbers and lists as TOML does.
            lines += [*meaning, f"{key} = {json.dumps(value)}"]
    return lines + sections


def _is_section(value: object) -> bool:
    """Check whether a value has keys of its own."""
    return dataclasses.is_dataclass(value) or isinstance(value, dict)


def _values(part: Any) -> Mapping[str, Any]:
    """Return what a section holds, by key."""
    if isinstance(part, dict):
        return part
    return {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}


def _title(kind: type) -> list[str]:
    """Return the first line of a dataclass's docstring, as a comment."""
    text = inspect.getdoc(kind) if dataclasses.is_dataclass(kind) else None
    return [f"# {text.splitlines()[0]}"] if text else []


def _meanings(kind: type) -> dict[str, list[str]]:
    """Read the ``#:`` lines above the fields of a dataclass and its bases, by field.

    A field that a base has explained needs no words again.
    """
    meanings: dict[str, list[str]] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        words: list[str] = []
        for line in map(str.strip, inspect.getsource(base).splitlines()):
            if line.startswith("#:"):
                words.append(f"#{line[2:]}")
            elif words:
                meanings[line.partition(":")[0]] = words
                words = []
    return meanings
