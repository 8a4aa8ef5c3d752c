"""What a shell offers where a word is to be completed: candidates, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

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


PAGE = Path(__file__).parents[3] / "docs" / "train.md"


def test_the_lines_of_the_documentation_make_bash_complete(tmp_path):
    for name, package in (("prep", "pipeline"), ("train", "train"), ("eval", "eval")):
        program = tmp_path / f"dilo-{name}"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dilo.{package} "$@"\n')
        program.chmod(0o755)
    section = PAGE.read_text().partition("## Shell completion")[2]
    lines = re.findall(r"```bash\n(.*?)```", section, flags=re.S)[0]
    asked = [
        ("prep", "masks --method m", ["mc", "mr"]),
        ("train", "--recipe moco-v2-", ["moco-v2-in100", "moco-v2-small"]),
        ("eval", "kn", ["knn"]),
    ]
    for name, words, _ in asked:
        lines += (
            f"COMPREPLY=(); COMP_WORDS=(dilo-{name} {words}); COMP_CWORD={len(words.split())}\n"
            f'_dilo_{name}_completion dilo-{name}; echo "${{COMPREPLY[@]}}"\n'
        )
    paths = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", lines], env=os.environ | paths, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [" ".join(names) for _, _, names in asked]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell_that_the_documentation_names(shell):
    assert f"{shell}_source" in PAGE.read_text()
    completion = {"_DILO_TRAIN_COMPLETE": f"{shell}_source"}
    program = [sys.executable, "-m", "dilo.train"]
    done = subprocess.run(
        program, env=os.environ | completion, capture_output=True, text=True, check=True
    )
    assert "_dilo_train_completion" in done.stdout
