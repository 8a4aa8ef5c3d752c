"""Recipe files: what one says, over what its base says."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Generic, TypeVar

from dilo.pipeline.common.textfiles import parse_toml, read_text
from dilo.pipeline.errors import ContentError, RecipeError, near, require_access
from dilo.train.recipes.paper import PaperResult, paper_rows, published_from_dict
from dilo.train.recipes.recipe import Recipe, recipe_from_dict
from dilo.train.recipes.schema import merged

RecipeT = TypeVar("RecipeT", covariant=True)


@dataclass(frozen=True)
class RecipeKind(Generic[RecipeT]):
    """Where the recipes of a command lie, and what they become."""

    #: Whose folder holds a TOML file for each that comes with dilo by itself.
    package: str
    #: From plain values and where they come from to a recipe; refuses those that make none.
    make: Callable[[Mapping[str, Any], str], RecipeT]
    #: The command that lists them, for messages.
    list_command: str
    #: Those that come with dilo together, in a table: by name, what a file of each would say.
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)


#: Recipes of pretraining.
PRETRAINING: RecipeKind[Recipe] = RecipeKind(
    "dilo.train.recipes.pretraining", recipe_from_dict, "dilo-train --recipe", paper_rows()
)


@dataclass(frozen=True, kw_only=True)
class RecipeFile:
    """A recipe as it is written."""

    #: Where it stands, for messages.
    source: str
    #: What it is: the first line of its comment, "" without one; of a row, the paper's words.
    summary: str
    #: The recipe that it changes, as the file names it.
    base: str | None
    #: All that the file and its bases set.
    values: dict[str, Any]
    #: What the paper reports of it; a base's number is not that of what changes the base.
    published: PaperResult | None


def shipped_recipes(kind: RecipeKind[object] = PRETRAINING) -> list[str]:
    """Name the recipes that come with dilo."""
    files = (entry.name for entry in resources.files(kind.package).iterdir())
    names = (name.removesuffix(".toml") for name in files if name.endswith(".toml"))
    return sorted([*names, *kind.rows])


def read_recipe(name: str, kind: RecipeKind[object] = PRETRAINING) -> RecipeFile:
    """Read a recipe, with its bases below it."""
    return _read(name, "--recipe", kind, Path(), ())


def _read(
    name: str, option: str, kind: RecipeKind[object], folder: Path, chain: tuple[str, ...]
) -> RecipeFile:
    """Read the recipe that `option` names, from a folder; `chain` are those that stand on it."""
    if name.endswith(".toml"):
        path = folder / name
        source, text = str(path), _read_text(path, option)
        values, summary = _parse(text, source), _summary(text)
        # However it is spelled: links and dots would hide that a file leads back to itself.
        folder, key = path.parent, str(path.resolve())
    elif name in kind.rows:
        source = key = f"recipe {name}"
        values = copy.deepcopy(kind.rows[name])
        summary = values["paper"]["row"]
    elif name in shipped_recipes(kind):
        source = key = f"recipe {name}"
        text = (resources.files(kind.package) / f"{name}.toml").read_text("utf-8")
        values, summary = _parse(text, source), _summary(text)
    else:
        raise RecipeError(
            f"{option} must be a .toml file or one of those that {kind.list_command} lists, "
            f"got {name!r}{near(name, shipped_recipes(kind))}"
        )
    if key in chain:
        raise RecipeError(
            f"{option} must not go round in a circle, got {name!r}, itself based on this file"
        )
    paper, base = values.pop("paper", None), values.pop("base", None)
    if base is not None:
        if not isinstance(base, str):
            raise RecipeError(f"{source}: base must be the name of a recipe, got {base!r}")
        base_file = _read(base, f"{source}: base", kind, folder, (*chain, key))
        kind.make(base_file.values, base_file.source)  # so that a fault is told of its own file
        values = merged(base_file.values, values)
    if paper is not None and not isinstance(paper, Mapping):
        raise RecipeError(f"{source}: paper must be a section, got {paper!r}")
    return RecipeFile(
        source=source,
        summary=summary,
        base=base,
        values=values,
        published=None if paper is None else published_from_dict(paper, source),
    )


def _read_text(path: Path, option: str) -> str:
    """Read a user's recipe."""
    try:
        return read_text(path)
    except (OSError, ContentError) as error:
        require_access(error, path)
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecipeError(
            f"{option} {path} cannot be read: {reason}: is the path right?"
        ) from error


def _parse(text: str, source: str) -> dict[str, Any]:
    """Read a recipe's text."""
    try:
        return parse_toml(text, source)
    except ContentError as error:
        raise RecipeError(str(error)) from error


def _summary(text: str) -> str:
    """Find the first line of the comment that a file begins with."""
    first = text.split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
