"""What every command that begins a store shares: which images, how many a shard."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dilo.pipeline.cli.options import EXISTING, grouped, say

if TYPE_CHECKING:
    from dilo.pipeline.planning import Selection


def _selection(
    images: Path, listed: Path | None, include: tuple[str, ...], limit: int | None
) -> "Selection":
    """Make the argument; its module imports too much for --help."""
    from dilo.pipeline.planning import Selection

    return Selection(images, listed, include, limit)


#: --images and what narrows it, as one argument `images`.
selection_options = grouped(
    "images",
    _selection,
    {
        "images": click.option(
            "--images", type=EXISTING, required=True, help="Folder of images, at any depth."
        ),
        "listed": click.option(
            "--list",
            "listed",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE",
            help="The images to take, in this order: paths below --images, one a line, as "
            "images.txt has them.",
        ),
        "include": click.option(
            "--include",
            multiple=True,
            metavar="GLOB",
            help="Only images that match: '*.png' is compared with file names, 'n01*/*' with "
            "paths below --images. May be given again.",
        ),
        "limit": click.option(
            "--limit", type=click.IntRange(min=1), help="Only the first so many of them."
        ),
    },
)

size_option = click.option(
    "--size",
    default=224,
    show_default=True,
    type=click.IntRange(16, 4096),
    help="Side of a mask, in pixels.",
)

shard_size_option = click.option(
    "--shard-size",
    type=click.IntRange(min=1),
    show_default="from the number of images",
    help="Images a shard.",
)


def found_so_far(
    say: Callable[[str], None] = say, *, clock: Callable[[], float] = time.monotonic
) -> Callable[[int], None]:
    """Make the function that says, in one line every 30 s, how many images were found."""
    from dilo.pipeline.progress import PERIOD

    last = clock()

    def found(count: int) -> None:
        nonlocal last
        if clock() - last >= PERIOD:
            last = clock()
            say(f"{count} images found so far")

    return found
