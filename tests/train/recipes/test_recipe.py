"""A recipe: what makes no run is refused by name."""

import pytest

from dilo.pipeline.errors import RecipeError
from dilo.train.recipes import load_recipe
from dilo.train.recipes.recipe import recipe_from_dict


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("views.siez=3", r"unknown key views.siez: known are views.size"),
        ("siez=3", r"unknown key siez: known are method"),
        ("views.size=big", r"views.size must be int, got 'big'"),
        ("views.size=2.5", r"views.size must be int, got 2.5"),
        ("views.flip=true", r"views.flip must be float, got True"),
        ("model.arch=alexnet", r"model.arch must be one of resnet18, .*, got 'alexnet'"),
        (
            "views.crop_scale=[0.2]",
            r"views.crop_scale must be a list of 2, each item float, got \[0.2\]",
        ),
        ("views.crop_scale=[0.5, 0.2]", r"low <= high <= 1, got \(0.5, 0.2\)"),
        ("views.order=['jitter', 'jitter']", r"must not repeat"),
        ("paste.probability=1.5", r"paste.probability must be in \[0, 1\], got 1.5"),
        ("paste.blend=poisson", r"paste.blend must be one of 'none', 'gaussian', 'mix'"),
        ("paste.blend_sigma=0", r"paste.blend_sigma must be positive, got 0.0"),
        ("paste.threshold=2", r"paste.threshold must be in \[0, 1\], got 2.0"),
        ("paste.min_coverage=-1", r"paste.min_coverage must be in \[0, 1\], got -1.0"),
        ("paste.bank=0", r"paste.bank must be at least 1, got 0"),
        ("paste.backgrounds.sky=1", r"unknown key paste.backgrounds.sky: known are paste.backgr"),
        ("paste.backgrounds.noise=-1", r"paste.backgrounds must be finite and >= 0, got \[1.0, "),
        ("paste.backgrounds.crops=inf", r"paste.backgrounds.crops must be finite and below 2"),
        ("paste.backgrounds.gray=0", r"paste.backgrounds must not all be 0, got"),
        ("model.bn_groups=7", r"got 7 groups of a batch of 256"),
        ("moco.temperature=0", r"moco.temperature must be positive, got 0.0"),
        ("optimizer.lr=nan", r"optimizer.lr must be finite and below 2\*\*64, got nan"),
        ("optimizer.lr=inf", r"optimizer.lr must be finite and below 2\*\*64, got inf"),
        ("optimizer.momentum=1", r"optimizer.momentum must be in \[0, 1\), got 1.0"),
        ("optimizer.weight_decay=-1", r"optimizer.weight_decay must be >= 0, got -1.0"),
        ("optimizer.warmup=200", r"must be >= 0 and less than optimizer.epochs, 200, got 200.0"),
        ("optimizer.warmup=-1", r"optimizer.warmup must be >= 0 .*, got -1.0"),
        ("moco.momentum=1.5", r"moco.momentum must be in \[0, 1\], got 1.5"),
        ("simclr.temperature=-1", r"simclr.temperature must be positive, got -1.0"),
        (
            "views.jitter_strength=[1, 1, 1, 0.6]",
            r"hue must be at most 0.5, got \(1.0, 1.0, 1.0, 0.6",
        ),
        ("base=moco-v1", r"unknown key base: known are method"),
        ("paper.top1=99", r"unknown key paper: known are method"),
        ("seed.x=1", r"seed"),
        ("seed", r"--set must be key=value, got 'seed'"),
        ("model=3", r"model must be ModelRecipe, got 3"),
        ("sede=3", r"unknown key sede: known are .*: did you mean seed\?$"),
        (
            "paste.blend=gausian",
            r"one of 'none', 'gaussian', 'mix', got 'gausian': did you mean ga",
        ),
        ("model.arch=resnet5", r"or timm:NAME, got 'resnet5': did you mean resnet50"),
        (f"views.size={10**30}", r"views.size must be finite and below 2\*\*64, got 1000000"),
        (f"views.size={'9' * 5000}", r"--set views.size: an integer must be below 2\*\*64"),
        (f"seed={'9' * 4000}", r"seed must be finite and below 2\*\*64, got a number of over 40"),
        (f"seed=0x{'f' * 5000}", r"seed must be finite and below 2\*\*64, got a number of over 40"),
        (f"views.size={'[' * 200_000}", r"--set views.size must be TOML, got brackets nested too"),
        ("views.size=5000", r"views.size must be at most 4096, got 5000"),
        ("optimizer.epochs=10000000", r"optimizer.epochs must be at most 1000000, got 10000000"),
        ("optimizer.batch=100000000", r"optimizer.batch must be at most 1048576, got"),
        ("moco.queue=1000000000000", r"moco.queue must be at most 268435456, got"),
        ("model.dim=1000000", r"model.dim must be at most 65536, got"),
        ("model.width=1000", r"model.width must be at most 64, got 1000.0"),
        ("moco.momentum=nan", r"moco.momentum must be finite and below 2\*\*64, got nan"),
        ("views.blur_sigma=[-1, 2]", r"views.blur_sigma must be 0 < low <= high <= 1000, got"),
        ("views.blur_sigma=[2, 1]", r"views.blur_sigma must be 0 < low <= high <= 1000, got"),
        (
            "paste.from_epoch=200",
            r"paste.from_epoch must be >= 0 and less than optimizer.epochs, 20",
        ),
        ("paste.from_epoch=-1", r"paste.from_epoch must be >= 0 .*, got -1"),
        ("paste.views=key", r"paste.views must be one of 'both', 'query', got 'key'"),
        ("views.min_object=2", r"views.min_object must be in \[0, 1\], got 2.0"),
        ("moco.swap_negatives=1", r"moco.swap_negatives must be bool, got 1"),
        ("paste.blend_sigma=1e9", r"paste.blend_sigma must be at most 4096, got 1000000000.0"),
    ],
)
def test_what_is_no_recipe_is_refused_by_name(override, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("moco-v2", [override])


def test_the_centre_crop_of_an_evaluation_cannot_be_asked_for_the_object():
    message = "views.min_object > 0 needs views.crop random, got 'center'"
    with pytest.raises(RecipeError, match=message):
        load_recipe("moco-v2", ["views.crop=center", "views.min_object=0.2"])


def test_matched_negatives_are_mocos():
    for name in ("naive", "simclr", "supervised"):
        message = f"moco.swap_negatives = true needs method moco, got '{name}'"
        with pytest.raises(RecipeError, match=message):
            load_recipe(name, ["moco.swap_negatives=true"])


def test_plain_values_fill_a_recipe_section_by_section():
    values = {"seed": 3, "paste": {"bank": 7, "backgrounds": {"crops": 2}}}
    recipe = recipe_from_dict(values, "here")
    assert (recipe.seed, recipe.paste.bank, recipe.paste.probability) == (3, 7, 0.3)
    assert (recipe.paste.backgrounds.crops, recipe.paste.backgrounds.gray) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("warmup", "milestones"), [(0, "[120, 120]"), (0, "[160, 120]"), (0, "[0]"), (10, "[10, 20]")]
)
def test_milestones_rise_from_over_the_warm_up(warmup, milestones):
    changes = [f"optimizer.warmup={warmup}", f"optimizer.milestones={milestones}"]
    with pytest.raises(RecipeError, match=f"rise from over optimizer.warmup, {warmup}, got "):
        load_recipe("moco-v1", changes)
    # A cosine has no use for them.
    assert load_recipe("moco-v2", changes).optimizer.schedule == "cosine"


def test_a_run_shorter_than_its_milestones_is_a_run():
    assert load_recipe("moco-v1", ["optimizer.epochs=20"]).optimizer.milestones == (120, 160)
