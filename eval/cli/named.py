"""Things that a command compares, each by a name: NAME=PATH."""

from collections.abc import Callable
from pathlib import Path

import click

#: Reads the values of an option that may be given again.
Callback = Callable[[click.Context, click.Parameter, tuple[str, ...]], list[tuple[str, Path]]]


def named_folders(noun: str) -> Callback:
    """Make what reads [NAME=]DIR; a folder is called by its own name.

    Parameters
    ----------
    noun : str
        What is named, for messages: "method".

    Returns
    -------
    callable
        A callback of click's, which gives names and paths; the names differ.
    """
    return _named(
        noun,
        ("a folder, or NAME=DIR", "no such folder"),
        Path.is_dir,
        lambda path: path.resolve().name,
    )


def named_checkpoints(noun: str) -> Callback:
    """Make what reads [NAME=]PATH of a file or a run, which is called by the run's name.

    Parameters
    ----------
    noun : str
        What is named, for messages: "checkpoint".

    Returns
    -------
    callable
        A callback of click's, which gives names and paths; the names differ.
    """
    what = f"a {noun}, the folder of a run, or NAME=PATH"
    return _named(noun, (what, "no such file or folder"), Path.exists, _run_name)


def _named(
    noun: str,
    words: tuple[str, str],
    is_one: Callable[[Path], bool],
    name_of: Callable[[Path], str],
) -> Callback:
    """Make a callback; what has "=" in its own path is that path."""

    def read(
        ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
    ) -> list[tuple[str, Path]]:
        found: dict[str, Path] = {}
        for value in values:
            name, equals, rest = value.partition("=")
            whole = not equals or is_one(Path(value))
            path = Path(value if whole else rest)
            if not is_one(path):
                raise click.BadParameter(f"must be {words[0]}, got {value}: {words[1]}")
            name = name_of(path) if whole else name
            if not name or not name.isprintable():
                raise click.BadParameter(
                    f"must name the {noun} in printable letters, got {value!r}"
                )
            if name in found:
                raise click.BadParameter(
                    f"must have a name for each {noun}, got {name} twice: give NAME={path}"
                )
            found[name] = path
        return list(found.items())

    return read


def _run_name(path: Path) -> str:
    """Name a file or folder by the run that it lies in, or else by itself."""
    whole = path.resolve()
    for folder in (whole, *whole.parents):
        if (folder / "checkpoints").is_dir():
            return folder.name
    return whole.name if whole.is_dir() else whole.stem
