"""Several paths on one command line, each with a name if one is given: [NAME=]PATH."""

from collections.abc import Callable, Iterable
from pathlib import Path

import click

Named = list[tuple[str, Path]]


def split_name(value: str, exists: Callable[[Path], bool]) -> tuple[str | None, Path]:
    """Split NAME=PATH; a path that exists with a "=" in it has no name."""
    name, equals, path = value.partition("=")
    if not equals or exists(Path(value)):
        return None, Path(value)
    return name, Path(path)


def named_paths(
    values: Iterable[str],
    kind: str,
    *,
    exists: Callable[[Path], bool] = Path.is_dir,
    default_name: Callable[[Path], str] = lambda path: path.resolve().name,
) -> Named:
    """Read [NAME=]PATH of a kind, several times; refuse missing paths and repeated names."""
    paths: dict[str, Path] = {}
    for value in values:
        name, path = split_name(value, exists)
        if not exists(path):
            raise click.BadParameter(f"must be a {kind}, or NAME={kind}, got {value}: not found")
        name = default_name(path) if name is None else name
        if not name or not name.isprintable():
            raise click.BadParameter(f"a name must be printable letters, got {value!r}")
        if name in paths:
            raise click.BadParameter(
                f"each {kind} must have its own name, got {name} twice: give NAME={path}"
            )
        paths[name] = path
    return list(paths.items())
