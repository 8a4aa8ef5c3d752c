"""The options that say which images a command uses, the same in all three programs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dilo.pipeline.cli.options import Command, option_group

if TYPE_CHECKING:
    from dilo.pipeline.images.selection import ImageSelection


class _ImagesPath(click.Path):
    """A folder of images, an archive, or a folder in one."""

    def __init__(self) -> None:
        super().__init__(exists=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check that it is there; what lies in an archive is looked for when that is opened."""
        from dilo.pipeline.images.archivekinds import split_path
        from dilo.pipeline.images.packable import find_packable

        path = Path(value)
        if not os.path.exists(path) and (split_path(path) or find_packable(path)):
            return path
        return super().convert(value, param, ctx)


#: What --images names, and what a file may stand for.
IMAGES = _ImagesPath()
#: What they are, for help texts.
IMAGES_HELP = "Folder of images, at any depth; or a tar, a folder of tars, a zip, or packed images."
#: A list of images.
LIST = click.Path(exists=True, dir_okay=False, path_type=Path)


def narrowing_options(
    folder: str = "--images", *, other: str = "", limit: bool = True, labels: bool = True
) -> dict[str, Callable[[Any], Any]]:
    """Make --list, --include, --limit and --labels, by the names of their values.

    `folder` is the option that they narrow; --include, --limit and --labels are for the `other`
    too. Those that a command has no use for are left out.
    """
    paths = f"{folder} or {other}" if other else folder
    options = {
        "list_file": click.option(
            "--list",
            "list_file",
            type=LIST,
            metavar="FILE",
            help=f"Use these images, in this order: paths below {folder}, one per line, as in a "
            "store's images.txt.",
        ),
        "include": click.option(
            "--include",
            multiple=True,
            metavar="GLOB",
            help="Use only images that match: '*.png' is compared with file names, 'n01*/*' with "
            f"paths below {paths}. May be repeated.",
        ),
        "limit": click.option(
            "--limit",
            type=click.IntRange(min=1),
            metavar="N",
            help="Use only the first N of them" + (", of each." if other else "."),
        ),
        "labels": click.option(
            "--labels",
            type=LIST,
            multiple=True,
            metavar="FILE",
            help="The classes of images that lie in no class folders: lines of name and class, "
            "LOC_val_solution.csv or ILSVRC2012_validation_ground_truth.txt. May be repeated.",
        ),
    }
    omitted = {name for name, wanted in (("limit", limit), ("labels", labels)) if not wanted}
    return {name: option for name, option in options.items() if name not in omitted}


def make_selection(
    images: Path,
    list_file: Path | None = None,
    include: tuple[str, ...] = (),
    limit: int | None = None,
    labels: tuple[Path, ...] = (),
) -> "ImageSelection":
    """Make the argument; its module imports too much for --help."""
    from dilo.pipeline.images.selection import ImageSelection

    return ImageSelection(images, list_file, include, limit, labels)


def images_options(
    help_text: str = IMAGES_HELP, *, labels: bool = True
) -> Callable[[Command], Command]:
    """Make --images and what narrows it, as one argument `images`."""
    images = click.option("--images", type=IMAGES, required=True, help=help_text)
    return option_group(
        "images", make_selection, {"images": images, **narrowing_options(labels=labels)}
    )


#: Those of the commands that make a store.
selection_options = images_options(labels=False)
