"""The recipes that come with dilo, in the paper's order, as a list and as a page to read."""

from dataclasses import dataclass
from typing import Final

from dilo.train.recipes.files import PRETRAINING, read_recipe, shipped_recipes
from dilo.train.recipes.paper import TABLES, PaperResult

#: What kinds of recipes are called, by how their names end, in the order of the list.
KINDS: Final = {
    "": "The methods, on ImageNet",
    "-in100": "For a hundred classes, 127,000 images",
    "-small": "For a laptop, ten thousand images",
}


@dataclass(frozen=True, kw_only=True)
class RecipeEntry:
    """One recipe of the list."""

    #: What --recipe takes.
    name: str
    #: Heading under which it stands: a table of the paper, or a kind.
    group: str
    #: What it is, in a line.
    summary: str
    #: The row of the paper that it is, if it is one.
    published: PaperResult | None


def recipe_list() -> list[RecipeEntry]:
    """List the recipes that come with dilo."""
    rows = list(PRETRAINING.rows)
    names = sorted(set(shipped_recipes()) - set(rows), key=lambda name: (_kind(name), name))
    return [_entry(name) for name in [*rows, *names]]


def listing() -> str:
    """Write the list for a terminal."""
    entries = recipe_list()
    width = max(len(recipe.name) for recipe in entries)
    lines = ["Recipes, and what the paper reports of them: linear top-1 on ImageNet, the masks"]
    group = ""
    for recipe in entries:
        if recipe.group != group:
            group = recipe.group
            lines += ["", group]
        description = recipe.summary
        if recipe.published:
            masks = recipe.published.masks or "-"
            description = f"{recipe.published.top1:4.1f}  {masks:6}  {recipe.published.row}"
        lines.append(f"  {recipe.name:{width}}  {description}")
    return "\n".join(lines)


def _entry(name: str) -> RecipeEntry:
    """Read one recipe for the list."""
    file = read_recipe(name)
    group = TABLES[file.published.table] if file.published else list(KINDS.values())[_kind(name)]
    return RecipeEntry(name=name, group=group, summary=file.summary, published=file.published)


def _kind(name: str) -> int:
    """Find the kind, of those of the list, that the end of a name says."""
    return next((n for n, end in enumerate(KINDS) if end and name.endswith(end)), 0)
