"""Recipes as files: the constants of their sources, overrides, and a text that reads back."""

import dataclasses
import itertools
import tomllib

import pytest
from support.recipes import flat

from dilo.pipeline.errors import RecipeError
from dilo.train.recipes import load_recipe, recipe_of, recipe_text, shipped_recipes
from dilo.train.recipes.files import PRETRAINING
from dilo.train.recipes.recipe import Recipe
from dilo.train.recipes.saliency_recipe import SALIENCY

#: Of every recipe that the paper reports: its settings of the paste, and SGD's.
SHARED = {
    "model.arch": "resnet50",
    "model.dim": 128,
    "views.size": 224,
    "views.crop": "random",
    "views.flip": 0.5,
    "paste.probability": 0.3,
    "paste.blend": "mix",
    "paste.blend_sigma": 5.0,
    "paste.alpha": "soft",
    "paste.backgrounds.gray": 1.0,
    "paste.backgrounds.crops": 0.0,
    "optimizer.name": "sgd",
    "optimizer.epochs": 200,
    "optimizer.batch": 256,
    "optimizer.lr": 0.03,
    "optimizer.lr_batch": 256,
    "optimizer.scaling": "linear",
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 1e-4,
    "optimizer.schedule": "step",
    "optimizer.milestones": (120, 160),
    "optimizer.warmup": 0.0,
    "optimizer.by": "epoch",
    "model.width": 1.0,
    "model.head": "linear",
    "model.bn_groups": 8,
    "views.space": "rgb",
}
MOCO_V1 = SHARED | {
    "method": "moco",
    "moco.queue": 65536,
    "moco.momentum": 0.999,
    "moco.temperature": 0.07,
    "views.crop_scale": (0.2, 1.0),
    "views.order": ("gray", "jitter"),
    "views.gray": 0.2,
    "views.jitter": 1.0,
    "views.jitter_strength": (0.4, 0.4, 0.4, 0.4),
}
MOCO_V2 = MOCO_V1 | {
    "moco.temperature": 0.2,
    "model.head": "mlp",
    "views.order": ("jitter", "gray", "blur"),
    "views.jitter": 0.8,
    "views.jitter_strength": (0.4, 0.4, 0.4, 0.1),
    "views.blur": 0.5,
    "views.blur_sigma": (0.1, 2.0),
    "optimizer.schedule": "cosine",
}
INSTDISC = MOCO_V1 | {
    "method": "instdisc",
    "memory.loss": "nce",
    "memory.negatives": 4096,
    "memory.momentum": 0.5,
    "memory.temperature": 0.07,
}
INSTDISC_SOFTMAX = INSTDISC | {
    "memory.loss": "softmax",
    "memory.negatives": 65536,
    "views.crop_scale": (0.08, 1.0),
    "views.order": ("jitter", "gray"),
}
CMC = SHARED | {
    "method": "cmc",
    "model.bn_groups": 4,
    "memory.loss": "nce",
    "memory.negatives": 16384,
    "memory.momentum": 0.5,
    "memory.temperature": 0.07,
    "views.crop_scale": (0.08, 1.0),
    "views.order": (),
    "views.space": "lab",
    "optimizer.epochs": 240,
    "optimizer.batch": 128,
    "optimizer.lr_batch": 128,
    "optimizer.milestones": (120, 160, 200),
}
CMC_HALF = CMC | {
    "model.width": 0.5,
    "model.bn_groups": 8,
    "memory.loss": "softmax",
    "memory.negatives": 65536,
    "views.order": ("jitter",),
    "views.jitter": 1.0,
    "views.jitter_strength": (0.4, 0.4, 0.4, 0.1),
    "views.space": "ydbdr",
    "optimizer.epochs": 200,
    "optimizer.batch": 256,
    "optimizer.lr_batch": 256,
    "optimizer.milestones": (120, 160),
}
SIMCLR = SHARED | {
    "method": "simclr",
    "model.head": "simclr",
    "model.head_layers": 3,
    "model.bn_groups": 1,
    "simclr.temperature": 0.1,
    "views.crop_scale": (0.08, 1.0),
    "views.order": ("jitter", "gray", "blur"),
    "views.jitter": 0.8,
    "views.jitter_strength": (0.8, 0.8, 0.8, 0.2),
    "views.gray": 0.2,
    "views.blur": 0.5,
    "views.blur_sigma": (0.1, 2.0),
    "views.space": "unit",
    "optimizer.name": "lars",
    "optimizer.epochs": 100,
    "optimizer.batch": 4096,
    "optimizer.lr": 0.075,
    "optimizer.lr_batch": 1,
    "optimizer.scaling": "sqrt",
    "optimizer.schedule": "cosine",
    "optimizer.warmup": 10.0,
    "optimizer.by": "step",
}
SUPERVISED = SHARED | {
    "method": "supervised",
    "views.crop_scale": (0.08, 1.0),
    "views.order": (),
    "paste.probability": 0.0,
    "optimizer.epochs": 90,
    "optimizer.lr": 0.1,
    "optimizer.milestones": (30, 60),
}
CONSTANTS = {
    "moco-v1": MOCO_V1,
    "moco-v2": MOCO_V2,
    "instdisc": INSTDISC,
    "instdisc-softmax": INSTDISC_SOFTMAX,
    "cmc": CMC,
    "cmc-half": CMC_HALF,
    "simclr": SIMCLR,
    "supervised": SUPERVISED,
    "naive": MOCO_V1 | {"method": "naive", "paste.probability": 0.0},
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_constants_are_those_of_the_methods_repository_and_of_the_paper(name):
    found = flat(load_recipe(name))
    # The milestones of a cosine say nothing.
    ignored = {"optimizer.milestones"} if found["optimizer.schedule"] == "cosine" else set()
    told = {key: value for key, value in CONSTANTS[name].items() if key not in ignored}
    assert {key: found[key] for key in told} == told


SMALL = [name for name in shipped_recipes() if name.endswith("-small")]
IN100 = [name for name in shipped_recipes() if name.endswith("-in100")]


def test_there_is_a_small_recipe_of_each_method():
    methods = ["cmc", "instdisc", "moco-v1", "moco-v2", "naive", "simclr", "supervised"]
    assert [f"{method}-small" for method in methods] == SMALL


@pytest.mark.parametrize("names", [SMALL, IN100], ids=["small", "in100"])
def test_recipes_of_a_size_have_one_budget_so_that_they_compare(names):
    keys = ["model.arch", "views.size", "optimizer.epochs", "optimizer.batch"]
    (budget,) = {tuple(flat(load_recipe(name))[key] for key in keys) for name in names}
    assert budget == (("resnet18", 64, 35, 64) if names is SMALL else ("resnet50", 224, 200, 256))


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_loads_and_survives_its_text(name, tmp_path):
    recipe = load_recipe(name)
    (tmp_path / "r.toml").write_text(recipe_text(recipe))
    assert load_recipe(str(tmp_path / "r.toml")) == recipe
    assert set(tomllib.loads(recipe_text(recipe))) == {f.name for f in dataclasses.fields(Recipe)}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(PRETRAINING, "moco-v2"), (SALIENCY, "label-free")],
    ids=["pretraining", "saliency"],
)
def test_above_every_key_and_section_stands_what_it_means(kind, name):
    recipe = recipe_of(kind, name)
    lines = recipe_text(recipe, comments=True).splitlines()
    for before, line in itertools.pairwise(["", *lines]):
        if line and not line.startswith("#"):
            assert before.startswith("# "), line
    plain = [line for line in lines if not line.startswith("#")]
    assert plain == recipe_text(recipe).splitlines()


def test_a_key_has_the_words_of_its_own_section_and_of_what_it_is_derived_from():
    lines = recipe_text(load_recipe("moco-v2"), comments=True).splitlines()
    # Two keys of one name; a comment of two lines.
    assert lines.index(
        "# Momentum of the bank: the share of its old value that a slot keeps."
    ) > lines.index("[memory]")
    place = lines.index("bn_groups = 8")
    assert lines[place - 2].startswith("# Batch-norm groups: the batch is normalised")
    assert (
        lines[place - 1] == "# MoCo shuffles keys among them. 1 normalises the whole batch at once."
    )
    saliency = recipe_text(recipe_of(SALIENCY, "basnet"), comments=True)
    assert "\n# Batch size, over all devices.\nbatch = 8\n" in saliency


def test_a_recipe_with_comments_is_the_same_recipe(tmp_path):
    options = ["options.depth=2", "options.loss.name=own", 'options.words="# [a] = 1"']
    recipe = load_recipe("moco-v2", options)
    (tmp_path / "r.toml").write_text(recipe_text(recipe, comments=True))
    assert load_recipe(str(tmp_path / "r.toml")) == recipe


def test_options_override_with_or_without_quotes():
    recipe = load_recipe(
        "moco-v2",
        ["optimizer.schedule=step", 'model.arch="resnet18"', "views.order=['gray']", "seed=3"],
    )
    assert (recipe.optimizer.schedule, recipe.model.arch) == ("step", "resnet18")
    assert (recipe.views.order, recipe.seed) == (("gray",), 3)
    assert load_recipe("moco-v2", ["optimizer.lr=1"]).optimizer.lr == 1.0


def test_an_override_mends_what_a_file_alone_would_be_refused_for(tmp_path):
    file = tmp_path / "big.toml"
    file.write_text('base = "moco-v1"\n[optimizer]\nbatch = 100\n')
    with pytest.raises(RecipeError, match="got 8 groups of a batch of 100"):
        load_recipe(str(file))
    assert load_recipe(str(file), ["model.bn_groups=4"]).optimizer.batch == 100
