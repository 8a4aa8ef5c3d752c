"""Keys of the recipe that are typed as options: the answer says what to type."""

import shlex

import pytest
from support.cli import invoke

from dilo.train.cli import main
from dilo.train.recipes import load_recipe, recipe_of
from dilo.train.recipes.saliency_recipe import SALIENCY


def answer(*words):
    """Type words that are wrong, and return what is said of them."""
    result = invoke(main, *words, status=2)
    assert result.stdout == ""
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "option", "advice"),
    [
        ("--epochs 20", "--epochs", "--set optimizer.epochs=20"),
        ("--epochs=20", "--epochs", "--set optimizer.epochs=20"),
        ("--recipe moco-v2 --lr 0.03 --out run", "--lr", "--set optimizer.lr=0.03"),
        ("--learning-rate 0.03", "--learning-rate", "--set optimizer.lr=0.03"),
        ("--batch-size 64", "--batch-size", "--set optimizer.batch=64"),
        ("--batch 64", "--batch", "--set optimizer.batch=64"),
        ("--seed 1", "--seed", "--set seed=1"),
        ("--seed -1", "--seed", "--set seed=-1"),
        ("--weight-decay 1e-4", "--weight-decay", "--set optimizer.weight_decay=1e-4"),
        ("--optimizer.epochs 20", "--optimizer.epochs", "--set optimizer.epochs=20"),
        ("--arch 'a b'", "--arch", "--set 'model.arch=a b'"),
        # Without a value, or with several words for a list: one that is a value.
        ("--epochs", "--epochs", "--set optimizer.epochs=200"),
        ("--epochs --json", "--epochs", "--set optimizer.epochs=200"),
        ("--schedule", "--schedule", "--set optimizer.schedule=step"),
        ("--milestones 60 80", "--milestones", "--set 'optimizer.milestones=[120, 160]'"),
        ("--milestones [60]", "--milestones", "--set 'optimizer.milestones=[60]'"),
        (
            "--temperature 0.1",
            "--temperature",
            "--set moco.temperature=0.1, or --set memory.temperature=0.1, "
            "or --set simclr.temperature=0.1",
        ),
        ("saliency --epochs 20", "--epochs", "--set optimizer.epochs=20"),
        ("saliency --size 64", "--size", "--set data.size=64"),
        ("saliency --batch-size", "--batch-size", "--set optimizer.batch=8"),
    ],
)
def test_a_key_typed_as_an_option_is_answered_with_the_set_that_does_it(words, option, advice):
    assert answer(*shlex.split(words)) == f"Error: No such option '{option}': give {advice}"


@pytest.mark.parametrize(
    ("words", "load"),
    [
        ([], lambda assignments: load_recipe("moco-v2", assignments)),
        (["saliency"], lambda assignments: recipe_of(SALIENCY, "basnet", assignments)),
    ],
    ids=["pretraining", "saliency"],
)
def test_what_is_answered_does_it(words, load):
    advice = answer(*words, "--epochs", "170").partition("give --set ")[2]
    assert load(shlex.split(advice)).optimizer.epochs == 170


@pytest.mark.parametrize("words", [["--epohcs", "20"], ["saliency", "--queue", "20"], ["-e", "20"]])
def test_what_is_no_key_is_answered_as_ever(words):
    said = answer(*words)
    assert "No such option" in said
    assert "--set optimizer" not in said
