"""What a shell offers where a word is to be completed: candidates, and nothing else."""

import click
import pytest
from click.shell_completion import ShellComplete

from dilo.eval.cli import main as evaluation
from dilo.pipeline.cli import main as preparation
from dilo.train.cli import main as training
from dilo.train.recipes import shipped_recipes
from dilo.train.recipes.saliency_recipe import SALIENCY


def offered(program, *words, incomplete=""):
    """Complete a word, as the scripts that click writes for shells ask for it."""
    found = ShellComplete(program, {}, "x", "_X_COMPLETE").get_completions(list(words), incomplete)
    return [(item.type, item.value) for item in found]


@pytest.mark.parametrize(
    ("program", "words", "names"),
    [
        (training, (), shipped_recipes()),
        (training, ("saliency",), shipped_recipes(SALIENCY)),
    ],
)
def test_the_names_of_recipes_are_offered_and_no_listing_is_printed(program, words, names, capfd):
    assert offered(program, *words, "--recipe") == [("plain", name) for name in names]
    first = names[0]
    assert ("plain", first) in offered(program, *words, "--recipe", incomplete=first[:3])
    assert offered(program, *words, "--recipe", incomplete="./mine") == [("file", "./mine")]
    offered(program, *words, "--recipe", "--images")
    assert tuple(capfd.readouterr()) == ("", "")


def test_the_names_of_methods_are_offered():
    assert offered(preparation, "masks", "--method", incomplete="m") == [
        ("plain", "mc"),
        ("plain", "mr"),
    ]


def every_command():
    """Give the words that lead to each command of the three programs."""
    for program in (preparation, training, evaluation):
        yield pytest.param(program, program, (), id=program.name)
        for name, command in program.commands.items():
            yield pytest.param(program, command, (name,), id=f"{program.name}-{name}")


@pytest.mark.parametrize(("program", "command", "words"), [*every_command()])
def test_completing_any_word_prints_nothing_and_ends_nothing(program, command, words, capfd):
    for option in command.params:
        if isinstance(option, click.Option):
            for values in ((), ("x",), ("-1",)):
                offered(program, *words, option.opts[0], *values)
                offered(program, *words, option.opts[0], *values, incomplete="--")
    assert tuple(capfd.readouterr()) == ("", "")
