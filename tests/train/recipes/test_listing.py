"""The list of recipes: the paper's order, a page for a terminal, and the page of the docs."""

import dataclasses
import re
from pathlib import Path

from dilo.train.recipes import listing, load_recipe, recipe_list, shipped_recipes

DOCS = Path(__file__).parents[3] / "docs"


def test_every_recipe_is_listed_once_the_papers_rows_first_and_in_its_order():
    listed = recipe_list()
    assert sorted(recipe.name for recipe in listed) == shipped_recipes()
    groups = list(dict.fromkeys(recipe.group for recipe in listed))
    assert [group.partition(":")[0] for group in groups[:6]] == [
        *("Table 1", "Table 2a", "Table 2b", "Table 2c", "Table 2d", "Table 3")
    ]
    assert groups[6:] == [
        "In the text",
        "The methods, on ImageNet",
        "For a hundred classes, 127,000 images",
        "For a laptop, ten thousand images",
    ]
    rows = [r.published.row for r in listed if r.published and r.published.table == "2a"]
    assert rows == ["MoCo", "GS", "MC", "RBD", "BASNet"]
    rows = [r.published.row for r in listed if r.published and r.published.table == "3"]
    assert rows[:4] == [
        *("InstDist, Original", "InstDist, DiLo-RBD", "InstDist, DiLo-BasNet", "CMC, Original")
    ]


def test_the_list_says_of_each_what_it_is():
    assert all(recipe.summary for recipe in recipe_list())
    lines = [line.split() for line in listing().splitlines()]
    assert ["table2a-gs", "62.7", "gs", "GS"] in lines
    assert ["table1-moco-flip", "6.4", "-", "+", "Flipping,", "Self-Supervised"] in lines
    assert ["moco-v2-small", "MoCo", "v2", "with"] in [words[:4] for words in lines]
    (heading,) = [n for n, line in enumerate(lines) if line[:2] == ["Table", "2c:"]]
    assert lines[heading - 1] == []
    assert lines[heading + 1][0] == "table2c-none"


def tables():
    """Write the tables of two pages: the paper's rows, the other recipes."""
    rows = ["| recipe | the paper's row | top-1 | masks |", "|---|---|---|---|"]
    others = ["| recipe | what it is |", "|---|---|"]
    for recipe in recipe_list():
        told = recipe.published
        if told:
            where = "text" if told.table == "text" else f"Table {told.table}"
            words = f"{where}: {told.row}"
            rows.append(f"| `{recipe.name}` | {words} | {told.top1} | {told.masks or ''} |")
        else:
            others.append(f"| `{recipe.name}` | {recipe.summary} |")
    return "\n".join(rows), "\n".join(others)


def test_the_pages_have_the_list_as_it_is():
    for page, table in zip(("reproduce.md", "train-recipes.md"), tables(), strict=True):
        assert table in (DOCS / page).read_text(), f"docs/{page} must have:\n\n{table}\n"


def test_the_page_counts_the_runs_behind_the_rows():
    rows = [recipe for recipe in recipe_list() if recipe.published]
    runs = {
        (repr(dataclasses.asdict(load_recipe(recipe.name))), recipe.published.masks)
        for recipe in rows
    }
    (counts,) = re.findall(r"The (\d+) rows are (\d+) runs", (DOCS / "reproduce.md").read_text())
    assert counts == (str(len(rows)), str(len(runs)))


def test_the_recipe_that_the_page_shows_is_one(tmp_path):
    (shown,) = re.findall(r"```toml\n(.*?)```", (DOCS / "train-recipes.md").read_text(), flags=re.S)
    (tmp_path / "mine.toml").write_text(shown)
    recipe = load_recipe(str(tmp_path / "mine.toml"))
    assert (recipe.model.head, recipe.optimizer.batch) == ("mlp", 512)
    # Half the time: gray keeps its weight.
    assert (recipe.paste.backgrounds.gray, recipe.paste.backgrounds.crops) == (1.0, 1.0)
