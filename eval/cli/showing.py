"""What the commands that draw figures of images share: how many images, and where figures go."""

from collections.abc import Iterable
from pathlib import Path

import click
from PIL import Image

from dilo.pipeline.common.files import atomic_write

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
    with atomic_write(path) as part:
        figure.save(part, format="PNG")
