"""A key of the recipe that is typed as an option is answered with the --set that does it."""

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import click

from dilo.pipeline.cli.options import Program
from dilo.train.recipes.recipe import Recipe, RunRecipe
from dilo.train.recipes.saliency_recipe import SaliencyRecipe
from dilo.train.recipes.schema import flat

#: What other programs call keys of recipes.
_OTHER_NAMES = {"batch_size": "batch", "learning_rate": "lr"}


class _AnsweringCommand(click.Command):
    """A command that knows the keys of its recipes."""

    recipe: ClassVar[type[RunRecipe]]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, and say more where it knows no such option."""
        words = list(args)  # click empties it
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            defaults = flat(dataclasses.asdict(self.recipe()))
            answers = _set_options(error.option_name, words, defaults)
            if not answers:
                raise
            message = f"No such option '{error.option_name}': give {', or '.join(answers)}"
            raise click.NoSuchOption(error.option_name, message, ctx=ctx) from error


class PretrainingProgram(_AnsweringCommand, Program):
    """`dilo-train`."""

    recipe = Recipe


class SaliencyCommand(_AnsweringCommand):
    """`dilo-train saliency`."""

    recipe = SaliencyRecipe


def _set_options(option: str, words: Sequence[str], defaults: Mapping[str, Any]) -> list[str]:
    """Write, for each key that an option may mean, the --set that gives it the value typed.

    Examples
    --------
    >>> defaults = {"optimizer.batch": 256, "moco.momentum": 0.999, "optimizer.momentum": 0.9}
    >>> _set_options("--batch-size", ["--batch-size", "64"], defaults)
    ['--set optimizer.batch=64']
    >>> _set_options("--momentum", ["--momentum=0.5"], defaults)
    ['--set moco.momentum=0.5', '--set optimizer.momentum=0.5']
    """
    name = option.lstrip("-").replace("-", "_")
    name = _OTHER_NAMES.get(name, name)
    typed = _typed_value(option, words)
    answers = []
    for key, default in defaults.items():
        if name not in (key, key.replace(".", "_"), key.rpartition(".")[2]):
            continue
        value = typed
        # Without a value, or the first of several words where a list is meant: one as an example.
        if value is None or (isinstance(default, tuple) and not value.startswith("[")):
            value = default if isinstance(default, str) else json.dumps(default)
        answers.append(f"--set {shlex.quote(f'{key}={value}')}")
    return answers


def _typed_value(option: str, words: Sequence[str]) -> str | None:
    """Find the value that was typed for an option, if one was."""
    for word, after in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
        if word == option:
            return None if after.startswith("--") else after
    return None
