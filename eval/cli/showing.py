"""What the commands that draw figures of images share: which images, and where figures go."""

from collections.abc import Iterable
from pathlib import Path

import click
from PIL import Image

from dilo.pipeline.atomic import published
from dilo.pipeline.names import Names

query_option = click.option(
    "--query",
    multiple=True,
    metavar="PATH",
    help="Show this image, by its path or its path in the folder; may be given again.",
)
count_option = click.option(
    "--count", default=8, show_default=True, type=click.IntRange(min=1), help="Images to show."
)
seed_option = click.option("--seed", default=0, show_default=True, help="Which of them.")
class_option = click.option(
    "--class",
    "which",
    default="predicted",
    show_default=True,
    type=click.Choice(["true", "predicted"]),
    help="Whose score is mapped: the image's own class, or the one with the highest score.",
)


def rows_of(paths: Iterable[str], names: Names, root: Path) -> list[int]:
    """Find images by their paths, or by their paths in the folder."""
    rows = []
    for path in paths:
        for name in (path, _below(Path(path), root)):
            if name in names:
                rows.append(names.index(name))
                break
        else:
            raise click.BadParameter(
                f"must be an image in {root}, got {path}: give its path in that folder",
                param_hint="--query",
            )
    return rows


def _below(path: Path, root: Path) -> str:
    """Write a path relative to a folder, links in either followed."""
    if path.resolve().is_relative_to(root.resolve()):
        return path.resolve().relative_to(root.resolve()).as_posix()
    return str(path)


def outside(option: str, out: Path, folders: Iterable[Path | None]) -> None:
    """Refuse to write pictures among the images that are read."""
    for folder in filter(None, folders):
        if out.resolve().is_relative_to(folder.resolve()):
            raise click.BadParameter(
                f"must be outside the folders that are read, got {out} in {folder}",
                param_hint=option,
            )


def write_figure(figure: Image.Image, path: Path) -> None:
    """Publish a figure; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with published(path) as part:
        figure.save(part, format="PNG")
