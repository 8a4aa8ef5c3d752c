"""Several things of a kind on one command line, each by a name: NAME=PATH."""

from collections.abc import Callable
from pathlib import Path

import click

from dilo.pipeline.cli.options import Command

Named = list[tuple[str, Path]]


def named_folders(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Named:
    """Part NAME=DIR; a folder without a name is called by its own."""
    words = ("a folder, or NAME=DIR", "no such folder", "method")
    return _named(values, Path.is_dir, lambda path: path.resolve().name, words)


def named_results(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Named:
    """Part NAME=DIR of a run, or of other results; one without a name is called by its own."""
    words = ("the folder of a run, or NAME=DIR", "no such folder", "folder")
    return _named(values, Path.is_dir, lambda path: path.resolve().name, words)


def named_runs(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Named:
    """Part NAME=PATH of runs and of checkpoints of runs; a run is called by its folder."""
    words = ("a run, a checkpoint of one, or NAME=PATH", "no such folder", "run")
    return _named(values, Path.exists, _checkpoint_name, words)


def _checkpoint_name(path: Path) -> str:
    """Name a run by its folder, and a checkpoint by its run and its file."""
    whole = path.resolve()
    return whole.name if whole.is_dir() else f"{whole.parents[1].name} {whole.stem}"


def named_checkpoints(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> Named:
    """Part NAME=PATH, of a file or of the folder of a run; without a name the run's is one."""
    words = ("a file or the folder of a run, or NAME=PATH", "no such file", "checkpoint")
    return _named(values, Path.exists, _run_name, words)


def _named(
    values: tuple[str, ...],
    there: Callable[[Path], bool],
    name_of: Callable[[Path], str],
    words: tuple[str, str, str],
) -> Named:
    """Part names from paths; what has "=" in its own path is that path."""
    what, missing, noun = words
    found: dict[str, Path] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        parted = bool(equals) and not there(Path(value))
        path = Path(rest if parted else value)
        name = name if parted else name_of(path)
        if not there(path):
            raise click.BadParameter(f"must be {what}, got {value}: {missing}")
        if not name or not name.isprintable():
            raise click.BadParameter(f"must name the {noun} in printable letters, got {value!r}")
        if name in found:
            raise click.BadParameter(
                f"must have a name for each {noun}, got {name} twice: give NAME={path}"
            )
        found[name] = path
    return list(found.items())


def _run_name(path: Path) -> str:
    """Name a file or folder by the run that it lies in, or else by itself."""
    whole = path.resolve()
    for folder in (whole, *whole.parents):
        if (folder / "checkpoints").is_dir():
            return folder.name
    return whole.name if whole.is_dir() else whole.stem


def classifiers_option(*, required: bool) -> Callable[[Command], Command]:
    """Make the option of the commands that look through classifiers: any number, named."""
    return click.option(
        "--classifier",
        "classifiers",
        multiple=True,
        required=required,
        metavar="[NAME=]PATH",
        callback=named_checkpoints,
        help="What `dilo-eval linear` wrote, or the run that it wrote to; a supervised checkpoint; "
        "weights of torchvision. Given again, they are compared.",
    )
