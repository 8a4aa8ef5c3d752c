"""The file of a campaign: what it says, and what is refused in it."""

import re
from pathlib import Path

import pytest
from support.campaigns import FILE, load

from dilo.pipeline.errors import DiloError
from dilo.train.campaign.commands import option_words
from dilo.train.campaign.file import load_campaign
from dilo.train.recipes import load_recipe, published

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(ROOT.glob("examples/campaign-*.toml"))


def test_an_arm_stands_over_the_options_of_all_key_by_key(tmp_path):
    campaign = load(tmp_path, FILE)
    assert campaign.seeds == (0, 2)
    common = {"images": "photos", "recipe": "moco-v2"}
    epochs = {"optimizer.epochs": 5}
    assert campaign.arms == {
        "moco": {**common, "masks": False, "set": {**epochs, "paste.probability": 0}},
        "crops": {
            **common,
            "masks": "masks",
            "backgrounds": ["crops", "textures"],
            "set": {**epochs, "paste.probability": 0.5, "paste.backgrounds.crops": 1.0},
        },
    }
    evaluations = {name: (e.command, e.options) for name, e in campaign.evaluations.items()}
    assert evaluations == {"knn": ("knn", {"k": [1, 20]}), "quick": ("linear", {"fast": True})}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds = [0, 2]", "", "must have the key seeds, got none"),
        ("seeds = [0, 2]", "seed = [0, 2]", "unknown key seed: .*did you mean seeds"),
        ("seeds = [0, 2]", "seeds = 2", "seeds must be a list, each item int, got 2"),
        ("seeds = [0, 2]", "seeds = []", "seeds must be at least one, got"),
        ("seeds = [0, 2]", "seeds = [-1]", "seeds must not be negative, got"),
        ("seeds = [0, 2]", "seeds = [1, 1]", "seeds must differ from each other, got"),
        ("[arms.crops]", "[arm.crops]", "unknown key arm: .*did you mean arms"),
        ("[arms.crops]", '[arms."a/b"]', "a name in arms must be letters.*got 'a/b'"),
        ("[evaluate.knn]", "[evaluate.train]", "evaluate.train must have another name"),
        ("k = [1, 20]", "k = 2026-01-01", "evaluate.knn.k must be text, a number"),
        (
            "optimizer.epochs = 5",
            "optimizer.epochs = 2026-01-01",
            "train.set.optimizer.epochs must be text, a number",
        ),
        ("k = [1, 20]", "set.seed = 1", "evaluate.knn: only dilo-train takes set"),
        ('command = "linear"', "command = 1", "command must be a command of dilo-eval, got 1"),
        (
            "[arms.moco]\nmasks = false\nset.",
            "[arms.moco]\nset = 5 # ",
            "arms.moco.set must be keys",
        ),
    ],
)
def test_what_makes_no_campaign_is_refused_by_its_name(tmp_path, old, new, words):
    assert FILE.count(old) == 1
    with pytest.raises(DiloError, match=rf"campaign.toml.*{words}"):
        load(tmp_path, FILE.replace(old, new))


def test_what_must_be_a_table_is_refused_where_it_is_none(tmp_path):
    with pytest.raises(DiloError, match="arms must be a table, got 3"):
        load(tmp_path, "seeds = [0]\narms = 3\n")
    with pytest.raises(DiloError, match=r"arms\.moco must be a table of options, got 3"):
        load(tmp_path, "seeds = [0]\narms.moco = 3\n")
    with pytest.raises(DiloError, match=r"arms\.moco\.set must be keys of the recipe, such as"):
        load(tmp_path, "seeds = [0]\narms.moco.set = 3\n")


def test_a_file_without_arms_is_refused(tmp_path):
    with pytest.raises(DiloError, match=r"arms must be at least one, \[arms.NAME\]"):
        load(tmp_path, "seeds = [0]\n[arms]\n")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_campaigns_of_recipes_that_there_are(path):
    campaign = load_campaign(path)
    for options in campaign.arms.values():
        recipe = load_recipe(options["recipe"], option_words({"set": options.get("set", {})})[1::2])
        assert bool(recipe.paste.probability) == ("masks" in options)


def test_the_example_of_table_2a_has_its_rows_with_their_masks():
    campaign = load_campaign(ROOT / "examples" / "campaign-table2a.toml")
    rows = [published(options["recipe"]) for options in campaign.arms.values()]
    assert [row.table for row in rows] == ["2a"] * 5
    assert [row.masks and f"masks/{row.masks}" for row in rows] == [
        options.get("masks") for options in campaign.arms.values()
    ]
    assert "protocol" not in campaign.evaluations["linear"].options  # which is the paper's


def test_the_file_of_the_page_is_a_campaign(tmp_path):
    page = (ROOT / "docs" / "train-campaign.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, flags=re.S)
    campaign = load(tmp_path, text)
    crops = campaign.arms["crops"]
    recipe = load_recipe(crops["recipe"], option_words({"set": crops["set"]})[1::2])
    assert (recipe.optimizer.epochs, recipe.paste.backgrounds.crops) == (20, 1)
