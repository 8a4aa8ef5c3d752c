"""Recipes as files: the published constants, overrides, and a text that reads back."""

import dataclasses
import tomllib

import pytest

from dilo.pipeline.errors import RecipeError
from dilo.train.recipe import Recipe
from dilo.train.recipes import load_recipe, recipe_text, shipped_recipes


@pytest.mark.parametrize("name", ["moco-v1", "moco-v2"])
def test_the_shared_constants_are_the_moco_repositorys_and_the_papers(name):
    recipe = load_recipe(name)
    assert recipe.model.arch == "resnet50"
    assert recipe.model.dim == 128
    assert (recipe.moco.queue, recipe.moco.momentum) == (65536, 0.999)
    assert recipe.optimizer.batch // recipe.model.bn_groups == 32
    settings = recipe.optimizer
    assert (settings.lr, settings.momentum, settings.weight_decay) == (0.03, 0.9, 1e-4)
    assert (settings.epochs, settings.batch) == (200, 256)
    assert (recipe.views.size, recipe.views.crop_scale) == (224, (0.2, 1.0))
    assert (recipe.paste.probability, recipe.paste.blend, recipe.paste.blend_sigma) == (
        0.3,
        "mix",
        5,
    )


def test_what_differs_between_the_versions():
    first, second = load_recipe("moco-v1"), load_recipe("moco-v2")
    assert (first.moco.temperature, second.moco.temperature) == (0.07, 0.2)
    assert (first.model.head, second.model.head) == ("linear", "mlp")
    assert (first.optimizer.schedule, second.optimizer.schedule) == ("step", "cosine")
    assert first.optimizer.milestones == (120, 160)
    assert first.views.order == ("gray", "jitter")
    assert second.views.order == ("jitter", "gray", "blur")
    assert (first.views.jitter, second.views.jitter) == (1.0, 0.8)
    assert first.views.jitter_strength == (0.4, 0.4, 0.4, 0.4)
    assert second.views.jitter_strength == (0.4, 0.4, 0.4, 0.1)
    assert (second.views.blur, second.views.blur_sigma) == (0.5, (0.1, 2.0))


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_survives_its_text(name, tmp_path):
    recipe = load_recipe(name)
    (tmp_path / "r.toml").write_text(recipe_text(recipe))
    assert load_recipe(str(tmp_path / "r.toml")) == recipe
    assert set(tomllib.loads(recipe_text(recipe))) == {f.name for f in dataclasses.fields(Recipe)}


def test_options_override_with_or_without_quotes():
    recipe = load_recipe(
        "moco-v2",
        ["optimizer.schedule=step", 'model.arch="resnet18"', "views.order=['gray']", "seed=3"],
    )
    assert (recipe.optimizer.schedule, recipe.model.arch) == ("step", "resnet18")
    assert (recipe.views.order, recipe.seed) == (("gray",), 3)
    assert load_recipe("moco-v2", ["optimizer.lr=1"]).optimizer.lr == 1.0


def test_a_recipe_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="one of moco-v1, moco-v2, moco-v2-small, got 'moco-v3'"):
        load_recipe("moco-v3")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(RecipeError, match="must be TOML"):
        load_recipe(str(tmp_path / "bad.toml"))
