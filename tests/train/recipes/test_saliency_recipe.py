"""Recipes of networks for saliency: what they may say, and the published numbers."""

import dataclasses

import pytest

from dilo.pipeline.errors import RecipeError
from dilo.pipeline.saliency.networkparameters import SalientObjectParameters
from dilo.train.recipes import recipe_of, recipe_text
from dilo.train.recipes.files import shipped_recipes
from dilo.train.recipes.saliency_recipe import (
    SALIENCY,
    SaliencyRecipe,
    saliency_listing,
    saliency_recipe,
)

NAMES = shipped_recipes(SALIENCY)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modle": {}}, "here: unknown key modle: known are seed, model, data"),
        ({"data": {"crops": 3}}, "unknown key data.crops: known are data.size"),
        ({"model": {"arch": "vgg"}}, "model.arch must be one of 'basnet', 'unet', got 'vgg'"),
        ({"model": {"width": 0}}, "model.width must be at least 1, got 0"),
        ({"data": {"crop": 100}}, "data.crop must be a multiple of 32, for basnet, got 100"),
        ({"data": {"size": 0}}, "data.size must be a multiple of 32"),
        (
            {"model": {"arch": "unet"}, "data": {"size": 144, "crop": 112}},
            "data.size must be a multiple of 32, got 144",
        ),
        (
            {"model": {"arch": "unet"}, "data": {"crop": 40}},
            "data.crop must be a multiple of 16, for unet, got 40",
        ),
        ({"data": {"crop": 288}}, "data.crop must be at most data.size, 256, got 288"),
        ({"data": {"scale": [1.0, 0.5]}}, r"data.scale must be 0.1 <= low <= high <= 10, got"),
        ({"data": {"flip": 2}}, r"data.flip must be in \[0, 1\], got 2"),
        ({"loss": {"bce": -1.0}}, "must be finite and >= 0"),
        ({"loss": {"bce": 0, "ssim": 0, "iou": 0}}, "must not all be 0"),
        ({"optimizer": {"name": "adamx"}}, "must be one of 'sgd', 'lars', 'adam', 'adamw', got"),
        ({"optimizer": {"lr": 0}}, "optimizer.lr must be positive, got 0"),
        ({"optimizer": {"epochs": 5, "warmup": 5}}, "less than optimizer.epochs, 5, got 5"),
        ({"optimizer": {"batch": 0}}, "optimizer.batch must be at least 1, got 0"),
        ({"noise": {"teacher": 1.0}}, r"noise.teacher must be in \[0, 1\), got 1"),
        ({"noise": {"trust": 0.5}}, "noise.teacher must be positive, as 0.999, where noise.trust"),
        ({"noise": {"agreement": 1}}, "where noise.trust or noise.agreement is, got 0"),
        ({"noise": {"trust_from": 300}}, "noise.trust_from .* less than optimizer.epochs, 300"),
        ({"modle": {}}, r"known are seed, model, .*: did you mean model\?$"),
        ({"data": {"size": 32 * 10**6}}, "data.size must be at most 4096, got 32000000"),
        ({"data": {"size": 10**30}}, r"data.size must be finite and below 2\*\*64, got 10000000"),
        ({"model": {"width": 10**6}}, "model.width must be at most 1024, got 1000000"),
        ({"optimizer": {"batch": 2**40}}, "optimizer.batch must be at most 1048576, got 109951"),
        ({"loss": {"bce": float("nan")}}, r"loss.bce must be finite and below 2\*\*64, got nan"),
        ({"noise": {"confidence": -1}}, "noise.confidence must be >= 0, got -1"),
    ],
)
def test_what_makes_no_run_is_refused_by_name(values, message):
    with pytest.raises(RecipeError, match=message):
        saliency_recipe(values, "here")


def test_basnet_is_as_published():
    recipe = recipe_of(SALIENCY, "basnet")
    assert recipe == SaliencyRecipe()
    assert (recipe.data.size, recipe.data.crop, recipe.data.scale) == (256, 224, (1.0, 1.0))
    assert dataclasses.astuple(recipe.loss) == (1, 1, 1)
    assert recipe.optimizer.schedule == "constant"
    # 150 epochs of DUTS and its mirror images, in batches of 8, whose last is not full.
    published = 150 * -(-21_106 // 8)
    steps = recipe.optimizer.epochs * (10_553 // recipe.optimizer.batch)
    assert published == 395_850
    assert abs(steps - published) < 200


@pytest.mark.parametrize("arch", ["basnet", "unet"])
def test_masks_can_be_made_at_every_size_that_a_recipe_may_say(arch):
    for size in range(16, 300, 16):
        values = {"model": {"arch": arch}, "data": {"size": size, "crop": 32}}
        try:
            saliency_recipe(values, "here")
        except RecipeError:
            with pytest.raises(ValueError, match=r"side must be a multiple of 32|at least"):
                SalientObjectParameters(side=size)
        else:
            SalientObjectParameters(side=size)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_is_whole_and_reads_back(name, tmp_path):
    recipe = recipe_of(SALIENCY, name)
    (tmp_path / "again.toml").write_text(recipe_text(recipe))
    assert recipe_of(SALIENCY, str(tmp_path / "again.toml")) == recipe
    assert f"  {name}  " in saliency_listing()


def test_a_recipe_is_changed_by_set_and_a_name_that_is_none_is_answered():
    assert recipe_of(SALIENCY, "label-free", ["noise.trust=0.25"]).noise.trust == 0.25
    with pytest.raises(
        RecipeError, match=r"saliency --recipe lists, got 'basent': did you mean basnet"
    ):
        recipe_of(SALIENCY, "basent")
    with pytest.raises(RecipeError, match="got 'moco-v2'"):  # one of pretraining
        recipe_of(SALIENCY, "moco-v2")
