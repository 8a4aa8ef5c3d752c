"""`dilo-train saliency`: arguments in; exit status, words, JSON and files out."""

import json

import pytest
from support.backgrounds import built
from support.cli import invoke
from support.objects import SMALL, objects_and_masks, store_of

from dilo.pipeline.backgrounds.recipe import BackgroundRecipe
from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.cli import main as prep
from dilo.pipeline.store import MaskStore
from dilo.pipeline.store.plan import Plan
from dilo.train.cli import main
from dilo.train.recipes import recipe_of
from dilo.train.recipes.files import shipped_recipes
from dilo.train.recipes.saliency_recipe import SALIENCY

SET = [word for override in SMALL for word in ("--set", override)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("objects")
    images, truth = objects_and_masks(root, 9)
    return images, truth, store_of(images, root / "masks")


def train(images, truth, *more, recipe="label-free", status=0):
    data = ["saliency", "--images", images, "--truth", truth, "--recipe", recipe]
    return invoke(main, *data, "--workers", 0, "--device", "cpu", *SET, *more, status=status)


def test_a_run_on_a_store_ends_with_weights_says_where_and_goes_on(made, tmp_path):
    run, test = tmp_path / "run", ["--test-images", made[0], "--test-truth", made[1]]
    result = train(made[0], made[2], "--out", run, *test, "--test-every", 2, "--json")
    found = json.loads(result.stdout)
    assert found["step"] == found["steps"] == 4
    assert found["checkpoint"] == str(run / "checkpoints" / "step-00000004.pt")
    assert (run / "network.pth").exists()
    assert "9 images with masks" in result.stderr
    assert "9 test images" in result.stderr
    assert "epoch 2: MAE 0." in result.stderr
    again = train(made[0], made[2], "--out", run, *test)
    assert "resuming from step 4 of 4" in again.stderr


def test_the_masks_of_a_run_are_made_at_the_side_that_it_was_trained_at(made, tmp_path):
    run, options = (
        tmp_path / "run",
        ("--method", "unet", "--device", "cpu", "--backend", "threading"),
    )
    train(made[0], made[1], "--out", run)
    for name, more, side in (("own", (), 64), ("asked", ("--set", "side=96"), 96)):
        out = tmp_path / name
        given = ("--images", made[0], "--out", out, "--weights", run, *more)
        invoke(prep, "masks", *given, *options)
        plan = Plan.load(out)
        assert (plan.size, plan.parameters["side"]) == (side, side)
        assert MaskStore(out)[0].shape == (side, side)


def test_what_is_left_out_is_said_by_name(made, tmp_path):
    images, truth = objects_and_masks(tmp_path, 6)
    (truth / "002.png").unlink()
    result = train(images, truth, "--out", tmp_path / "run")
    assert "5 images with masks" in result.stderr
    assert "1 skipped without a mask in" in result.stderr
    assert "002.jpg" in result.stderr


def test_a_resolved_recipe_is_a_recipe(made, tmp_path):
    train(made[0], made[1], "--out", tmp_path / "a")
    train(made[0], made[1], "--out", tmp_path / "b", recipe=tmp_path / "a" / "recipe.toml")
    a, b = ((tmp_path / run / "recipe.toml").read_text() for run in "ab")
    assert a == b


def test_a_recipe_without_a_name_lists_those_there_are_whatever_else_lacks():
    shown = invoke(main, "saliency", "--recipe").stdout
    assert all(f"  {name} " in shown for name in shipped_recipes(SALIENCY))


def test_backgrounds_that_a_recipe_does_not_ask_for_or_lacks_are_refused_in_words(made, tmp_path):
    crops = built(made[0], tmp_path / "crops", BackgroundRecipe(kind="images"))
    given = ["--out", tmp_path / "run", "--backgrounds", crops]
    refused = train(made[0], made[1], *given, status=3)
    assert "--backgrounds is for recipes that paste, got label-free with paste" in refused.stderr
    pasting = ["--set", "paste.probability=0.5"]
    never = train(made[0], made[1], *given, *pasting, status=3)
    assert "holds images, which recipe label-free never draws" in never.stderr
    on_images = [*pasting, "--set", "paste.backgrounds.images=1", "--out", tmp_path / "run"]
    lacking = train(made[0], made[1], *on_images, status=3)
    assert (
        "pastes on images (paste.backgrounds.images = 1) and needs --backgrounds" in lacking.stderr
    )
    assert not (tmp_path / "run").exists()
    few = ["--set", "paste.bank=4", "--set", "optimizer.epochs=1"]
    train(made[0], made[1], *on_images, *few, "--backgrounds", crops)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["data"]["backgrounds"] == BackgroundStore(crops).fingerprint


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (["--set", "data.sise=1"], 3, "unknown key data.sise"),
        (["--set", "data.crop=40"], 3, "data.crop must be a multiple of 16, for unet, got 40"),
        (["--test-images", "."], 2, "--test-images and --test-truth must be given together."),
        (["--resume", "must"], 3, "--resume must needs a checkpoint to resume from"),
        (["--test-every", "0"], 2, "0 is not in the range"),
    ],
)
def test_wrong_usage_is_said_in_a_sentence(made, tmp_path, more, status, message):
    result = train(made[0], made[1], "--out", tmp_path / "run", *more, status=status)
    assert message in " ".join(result.stderr.split())


def test_a_folder_of_pretraining_is_not_gone_on_with(made, tmp_path):
    run = tmp_path / "run"
    plain = ["--images", made[0], "--recipe", "moco-v2-small", "--workers", 0, "--device", "cpu"]
    tiny = ["model.dim=8", "model.width=0.25", "moco.queue=12", "views.size=16"]
    tiny += ["optimizer.batch=4", "model.bn_groups=2", "optimizer.epochs=1", "paste.probability=0"]
    words = [word for value in tiny for word in ("--set", value)]
    invoke(main, *plain, "--out", run, *words)
    result = train(made[0], made[1], "--out", run, status=3)
    assert "model.arch = " in result.stderr
    assert "another --out" in result.stderr


def test_a_recipe_is_printed_without_images_and_is_one(tmp_path):
    words = ["--recipe", "label-free", "--set", "noise.trust=0.25"]
    shown = invoke(main, "saliency", *words, "--print").stdout
    (tmp_path / "mine.toml").write_text(shown)
    assert recipe_of(SALIENCY, str(tmp_path / "mine.toml")) == recipe_of(
        SALIENCY, "label-free", ["noise.trust=0.25"]
    )
    assert "# basnet: every value" in invoke(main, "saliency", "--print").stdout


@pytest.mark.parametrize("left_out", ["--images", "--truth", "--out"])
def test_what_a_training_needs_is_asked_for(left_out, tmp_path):
    given = [
        word
        for option in ("--images", "--truth", "--out")
        if option != left_out
        for word in (option, tmp_path)
    ]
    result = invoke(main, "saliency", *given, status=2)
    assert f"Missing option '{left_out}'" in result.stderr


def test_help_tells_every_exit_status_and_the_group_names_the_command():
    shown = invoke(main, "saliency", "--help").stdout
    assert all(f"\n    {status} " in shown for status in (0, 2, 3, 75))
    assert "saliency" in invoke(main, "--help").stdout
