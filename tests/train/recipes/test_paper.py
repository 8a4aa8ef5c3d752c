"""The paper's rows: each a recipe, with its number, that differs from its base in just that."""

import pytest
from support.recipes import flat

from dilo.pipeline.errors import RecipeError
from dilo.train.recipes import PaperResult, load_recipe, published, shipped_recipes
from dilo.train.recipes.files import read_recipe

NO_PASTE = {"paste.probability": 0.0}
CENTER = {"views.crop": "center"}
RBD = "rbd"
#: Name: table, row, linear top-1, masks, base, and all that differs from it; as the paper has them.
ROWS = {
    "table1-moco-flip": (
        *("1", "+ Flipping, Self-Supervised", 6.4, None),
        *("moco-v1", NO_PASTE | CENTER | {"views.order": ()}),
    ),
    "table1-moco-crop": (
        *("1", "+ Spatial Scale Crop, Self-Supervised", 40.4, None),
        *("moco-v1", NO_PASTE | {"views.order": ()}),
    ),
    "table1-moco-jitter": (
        *("1", "+ Color Jitter, Self-Supervised", 56.9, None),
        *("moco-v1", NO_PASTE | {"views.order": ("jitter",)}),
    ),
    "table1-moco-gray": ("1", "+ Random Gray, Self-Supervised", 60.6, None, "moco-v1", NO_PASTE),
    "table1-supervised-flip": ("1", "+ Flipping, Supervised", 70.9, None, "supervised", CENTER),
    "table1-supervised-crop": (
        *("1", "+ Spatial Scale Crop, Supervised", 77.5, None),
        *("supervised", {}),
    ),
    "table1-supervised-jitter": (
        *("1", "+ Color Jitter, Supervised", 77.4, None),
        *("supervised", {"views.order": ("jitter",)}),
    ),
    "table1-supervised-gray": (
        *("1", "+ Random Gray, Supervised", 77.7, None),
        *("supervised", {"views.order": ("gray", "jitter")}),
    ),
    "table2a-moco": ("2a", "MoCo", 60.6, None, "moco-v1", NO_PASTE),
    "table2a-gs": ("2a", "GS", 62.7, "gs", "moco-v1", {}),
    "table2a-mc": ("2a", "MC", 62.1, "mc", "moco-v1", {}),
    "table2a-rbd": ("2a", "RBD", 62.8, RBD, "moco-v1", {}),
    "table2a-basnet": ("2a", "BASNet", 65.0, "basnet", "moco-v1", {}),
    "table2b-0": ("2b", "MoCo", 60.6, None, "moco-v1", NO_PASTE),
    "table2b-30": ("2b", "30%", 62.8, RBD, "moco-v1", {}),
    "table2b-50": ("2b", "50%", 62.2, RBD, "moco-v1", {"paste.probability": 0.5}),
    "table2b-70": ("2b", "70%", 61.6, RBD, "moco-v1", {"paste.probability": 0.7}),
    "table2b-100": ("2b", "100%", 47.6, RBD, "moco-v1", {"paste.probability": 1.0}),
    "table2c-none": ("2c", "MoCo", 60.6, None, "moco-v1", NO_PASTE),
    "table2c-texture": (
        *("2c", "Texture", 60.6, RBD, "moco-v1"),
        {"paste.backgrounds.gray": 0.0, "paste.backgrounds.textures": 1.0},
    ),
    "table2c-imagenet": (
        *("2c", "Imagenet", 62.1, RBD, "moco-v1"),
        {"paste.backgrounds.gray": 0.0, "paste.backgrounds.crops": 1.0},
    ),
    "table2c-grayscale": ("2c", "Grayscale", 62.8, RBD, "moco-v1", {}),
    "table2d-moco": ("2d", "MoCo", 60.6, None, "moco-v1", NO_PASTE),
    "table2d-no-blend": ("2d", "No blend", 62.4, RBD, "moco-v1", {"paste.blend": "none"}),
    "table2d-gaussian": ("2d", "Gaussian", 62.5, RBD, "moco-v1", {"paste.blend": "gaussian"}),
    "table2d-mix": ("2d", "Mix", 62.8, RBD, "moco-v1", {}),
    "table3-instdisc": ("3", "InstDist, Original", 56.5, None, "instdisc", NO_PASTE),
    "table3-instdisc-rbd": ("3", "InstDist, DiLo-RBD", 59.3, RBD, "instdisc", {}),
    "table3-instdisc-basnet": ("3", "InstDist, DiLo-BasNet", 62.9, "basnet", "instdisc", {}),
    "table3-cmc": ("3", "CMC, Original", 63.4, None, "cmc", NO_PASTE),
    "table3-cmc-rbd": ("3", "CMC, DiLo-RBD", 65.0, RBD, "cmc", {}),
    "table3-cmc-basnet": ("3", "CMC, DiLo-BasNet", 66.9, "basnet", "cmc", {}),
    "table3-moco-v1": ("3", "MoCo-v1, Original", 60.6, None, "moco-v1", NO_PASTE),
    "table3-moco-v1-rbd": ("3", "MoCo-v1, DiLo-RBD", 62.8, RBD, "moco-v1", {}),
    "table3-moco-v1-basnet": ("3", "MoCo-v1, DiLo-BasNet", 65.0, "basnet", "moco-v1", {}),
    "table3-moco-v2": ("3", "MoCo-v2, Original", 67.5, None, "moco-v2", NO_PASTE),
    "table3-moco-v2-rbd": ("3", "MoCo-v2, DiLo-RBD", 67.9, RBD, "moco-v2", {}),
    "table3-moco-v2-basnet": ("3", "MoCo-v2, DiLo-BasNet", 69.2, "basnet", "moco-v2", {}),
    "text-naive": ("text", "A naive approach", 41.6, RBD, "naive", {}),
}


def test_every_row_of_the_papers_tables_is_one_recipe_and_no_other_is_one():
    found = {name: published(name) for name in shipped_recipes()}
    told = {name: (p.table, p.row, p.top1, p.masks) for name, p in found.items() if p}
    assert told == {name: row[:4] for name, row in ROWS.items()}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_differs_from_its_base_in_what_the_row_says_alone(name):
    *_, masks, base, changes = ROWS[name]
    assert read_recipe(name).base == base
    row, under = flat(load_recipe(name)), flat(load_recipe(base))
    assert {key: value for key, value in row.items() if value != under[key]} == changes
    # Masks serve the paste or the pooling; without either they are not needed.
    assert bool(masks) == bool(row["paste.probability"] or row["method"] == "naive")


FULL = 'table = "3"\nrow = "Mine"\ntop1 = 61\nmasks = "mc"\nnote = "so"\n'


def test_a_users_own_recipe_may_name_a_number_and_hands_it_to_no_other(tmp_path):
    (tmp_path / "a.toml").write_text(f'base = "table2a-gs"\n[paper]\n{FULL}')
    (tmp_path / "b.toml").write_text('base = "a.toml"\nseed = 2\n')
    own = PaperResult(table="3", row="Mine", top1=61.0, masks="mc", note="so")
    assert published(str(tmp_path / "a.toml")) == own
    assert published(str(tmp_path / "b.toml")) is None
    assert load_recipe(str(tmp_path / "b.toml")).seed == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("note", "notes"), r"unknown key paper.notes: known are paper.table, paper.row"),
        (('table = "3"\n', ""), r"\[paper\] must have the key table, got none"),
        (('"3"', '"4"'), r"paper.table must be one of 1, 2a, .*, text, got '4'"),
        (('"Mine"', "3"), r"paper.row must be words, got 3"),
        (("61", "161"), r"paper.top1 must be a percentage, got 161"),
        (("61", "true"), r"paper.top1 must be a percentage, got True"),
        (('"mc"', '"mr"'), r"paper.masks must be one of rbd, gs, mc, basnet, got 'mr'"),
        (('"so"', "[]"), r"paper.note must be words, got \[\]"),
    ],
)
def test_what_is_wrong_in_it_is_refused_by_name(tmp_path, change, message):
    (tmp_path / "a.toml").write_text(f"[paper]\n{FULL.replace(*change)}")
    with pytest.raises(RecipeError, match=f"a.toml: {message}"):
        load_recipe(str(tmp_path / "a.toml"))
