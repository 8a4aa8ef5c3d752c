"""What the commands that draw images share: which ones the user wants to see."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dilo.pipeline.names import Names

query_option = click.option(
    "--query",
    multiple=True,
    metavar="PATH",
    help="Show this image, by its path or its path in the folder; may be given again.",
)


def rows_of(paths: Iterable[str], names: "Names", root: Path, rule: str | None = None) -> list[int]:
    """Find images by their paths, or by their paths in the folder."""
    rows = []
    for path in paths:
        for name in (path, _below(Path(path), root)):
            if name in names:
                rows.append(names.index(name))
                break
        else:
            wanted = rule or f"an image in {root}"
            raise click.BadParameter(
                f"must be {wanted}, got {path}: give its path in {root if rule else 'that folder'}",
                param_hint="--query",
            )
    return rows


def _below(path: Path, root: Path) -> str:
    """Write a path relative to a folder, links in either followed."""
    if path.resolve().is_relative_to(root.resolve()):
        return path.resolve().relative_to(root.resolve()).as_posix()
    return str(path)
